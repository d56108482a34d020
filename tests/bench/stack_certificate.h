/* stack_certificate.h - the certificate of the servers that are measured, for a key on P-256 that everybody has. */
#ifndef STACK_CERTIFICATE_H
#define STACK_CERTIFICATE_H

static const char stack_certificate[] = "-----BEGIN CERTIFICATE-----\n"
					"MIIBfjCCASWgAwIBAgIUJGO1JSa5Auj+EDfAQFH4I4m3e9MwCgYIKoZIzj0EAwIw\n"
					"FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTE4NDYzNFoYDzIxMjYxMDI4\n"
					"MTg0NjM0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO\n"
					"PQMBBwNCAAQmb2Kk8Z8f+IfsS3w1SfoIaS95F5uc2Guq9dQSohxQ6iv3XCEnP+Fy\n"
					"pyxtIXoTJkYFCsc3Qsbqf0LHxz/gKlIgo1MwUTAdBgNVHQ4EFgQUSeIw30qsse+C\n"
					"tFY5EJAILQO+v4wwHwYDVR0jBBgwFoAUSeIw30qsse+CtFY5EJAILQO+v4wwDwYD\n"
					"VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiB2waJgUYsDjiuACblmUi4F\n"
					"7p9sxHwxin9VH+YsnGhygAIgK6lWhsfE2Gm53H2hWUpebiWnmKPsCFWScl4Evgxv\n"
					"7Bk=\n"
					"-----END CERTIFICATE-----\n";

static const char stack_key[] = "-----BEGIN PRIVATE KEY-----\n"
				"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCWCKWaapD19Ra6IJ\n"
				"K2kELPmVYnRsek9CZdWf+p/RlfahRANCAAQmb2Kk8Z8f+IfsS3w1SfoIaS95F5uc\n"
				"2Guq9dQSohxQ6iv3XCEnP+FypyxtIXoTJkYFCsc3Qsbqf0LHxz/gKlIg\n"
				"-----END PRIVATE KEY-----\n";

#endif
