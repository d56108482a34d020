# Lengths of functions (signature to closing brace) and files, and the number of conditionals. Relies on the tree's
# clang-format: only a function's braces stand in the first column.

FNR == 1 {
	if (NR > 1)
		end_file()
	file = FILENAME
	lines = 0
	signature = 0
}

{ lines++ }
/^#[ \t]*if/ && !/_H$/ { conditionals++ }
/^[A-Za-z_]/ && !in_function { signature = FNR; text = $0 }
/^\{/ { in_function = 1 }

/^\}/ && in_function {
	in_function = 0
	lengths[count++] = FNR - signature + 1
	if (FNR - signature + 1 > longest) {
		longest = FNR - signature + 1
		longest_where = file ":" signature
	}
	if (FNR - signature + 1 > MAX_FUNCTION)
		complain(file ":" signature ": " FNR - signature + 1 " lines, " MAX_FUNCTION " are the most: " text)
}

function complain(sentence)
{
	print sentence
	bad = 1
}

function end_file()
{
	total += lines
	if (lines > most_lines) {
		most_lines = lines
		largest = file
	}
	if (lines > MAX_FILE)
		complain(file ": " lines " lines, " MAX_FILE " are the most")
}

function sort_lengths(    i, j, value)
{
	for (i = 1; i < count; i++) {
		value = lengths[i]
		for (j = i - 1; j >= 0 && lengths[j] > value; j--)
			lengths[j + 1] = lengths[j]
		lengths[j + 1] = value
	}
}

BEGIN {
	MAX_FUNCTION = 80
	MAX_FILE = 500
}

END {
	end_file()
	sort_lengths()
	median = lengths[int((count - 1) / 2)]
	if (median > 15)
		complain("the median function has " median " lines, 15 are the most")
	printf "%s  %d functions: median %d, 90th percentile %d, longest %d (%s)\n", bad ? "FAILED" : "ok    ", count,
	    median, lengths[int((count - 1) * 0.9)], longest, longest_where
	printf "        %d lines, largest file %d (%s), %.1f #if per 1,000 lines\n", total, most_lines, largest,
	    1000 * conditionals / total
	exit bad
}
