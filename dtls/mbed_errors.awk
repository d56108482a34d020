# #define MBEDTLS_ERR_X -0x7180  ->  { 0x7180, "MBEDTLS_ERR_X" },
$1 == "#define" && $2 ~ /^MBEDTLS_ERR_/ && $3 ~ /^-0x[0-9A-Fa-f]+$/ {
	digits = "000" tolower(substr($3, 4))
	sub(/^0+/, "", digits)
	while (length(digits) < 4)
		digits = "0" digits
	printf "{ 0x%s, \"%s\" },\n", digits, $2
}
