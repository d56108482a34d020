/* --session FILE: the session that this program's next run may resume. */
#include "cli_file.h"
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SESSION_MAX = 65536 };

/* Whoever has read the file can read the session. */
static bool is_private(const char *path, const struct stat *s)
{
	if (s->st_uid == geteuid() && (s->st_mode & (S_IRWXG | S_IRWXO)) == 0)
		return true;
	fprintf(stderr,
	    "dtls-client: --session: %s is not private (it needs your ownership and mode 0600): the session in it is "
	    "not resumed\n",
	    path);
	return false;
}

void client_load_session(struct client *c)
{
	struct cli_file file;
	struct stat s;

	if (c->session == NULL || (stat(c->session, &s) != 0 && errno == ENOENT))
		return;
	if (!cli_file_read(c->session, &file))
		cli_usage("--session: cannot read %s: %s", c->session, strerror(errno));
	if (stat(c->session, &s) == 0 && S_ISREG(s.st_mode) && is_private(c->session, &s)) {
		c->session_loaded = dtls_conn_session_load(c->conn, file.bytes, file.len) == DTLS_OK;
		if (!c->session_loaded)
			client_tell(c, "the session in %s is not resumed: %s", c->session, dtls_conn_error(c->conn));
	}
	cli_file_free(&file);
}

static bool write_all(int fd, const uint8_t *bytes, size_t len)
{
	ssize_t n;

	for (; len > 0; bytes += n, len -= (size_t)n) {
		n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return false;
	}
	return fsync(fd) == 0;
}

/* The file is the old one or the new one, whatever happens; mkstemp(3) lets nobody else read it. */
static bool replace_file(const char *path, const uint8_t *bytes, size_t len)
{
	static const char suffix[] = ".XXXXXX";
	size_t size = strlen(path) + sizeof(suffix);
	char *other = malloc(size);
	int fd, error;
	bool ok;

	if (other == NULL)
		return false;
	snprintf(other, size, "%s%s", path, suffix);
	fd = mkstemp(other);
	ok = fd >= 0 && write_all(fd, bytes, len);
	error = errno;
	if (fd >= 0 && close(fd) != 0 && ok) {
		error = errno;
		ok = false;
	}
	if (ok && rename(other, path) != 0) {
		error = errno;
		ok = false;
	}
	if (!ok && fd >= 0)
		unlink(other);
	free(other);
	errno = error;
	return ok;
}

void client_save_session(struct client *c)
{
	static uint8_t bytes[SESSION_MAX];
	size_t len;

	if (c->session == NULL)
		return;
	client_tell(
	    c, dtls_conn_resumed(c->conn) ? "the session in %s was resumed" : "a new session, for %s", c->session);
	if (dtls_conn_session_save(c->conn, bytes, sizeof(bytes), &len) != DTLS_OK) {
		client_tell(c, "it is not saved: %s", dtls_conn_error(c->conn));
		client_forget_session(c);
		return;
	}
	if (!replace_file(c->session, bytes, len))
		client_complain(c, "--session: cannot write %s: %s", c->session, strerror(errno));
	explicit_bzero(bytes, len);
}

void client_forget_session(struct client *c)
{
	if (c->session_loaded && unlink(c->session) == 0)
		client_tell(c, "%s was removed: what is in it will not do", c->session);
	c->session_loaded = false;
}
