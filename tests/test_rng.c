#include "dtls/rng.h"
#include "faulty_rng.h"
#include "suites.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LEN = 32 };

static struct rng rng;

/* What a child of this process draws next, and its generation. */
static void draw_in_child(unsigned char out[LEN], unsigned *generation, void (*first)(void))
{
	int fds[2];
	pid_t child;
	int status;

	ck_assert_int_eq(pipe(fds), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		unsigned char bytes[LEN];
		unsigned now = fork_generation();

		if (first != NULL)
			first();
		if (rng_bytes(&rng, bytes, LEN) != 0 || write(fds[1], bytes, LEN) != LEN)
			_exit(1);
		_exit(write(fds[1], &now, sizeof(now)) == (ssize_t)sizeof(now) ? 0 : 1);
	}
	ck_assert_int_eq(read(fds[0], out, LEN), LEN);
	ck_assert_int_eq(read(fds[0], generation, sizeof(*generation)), (ssize_t)sizeof(*generation));
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	close(fds[0]);
	close(fds[1]);
}

START_TEST(rng_draws_differ)
{
	unsigned char a[LEN], b[LEN];
	struct rng other;

	ck_assert_int_eq(rng_init(&rng), 0);
	ck_assert_int_eq(rng_init(&other), 0);
	ck_assert_int_eq(rng_bytes(&rng, a, LEN), 0);
	ck_assert_int_eq(rng_bytes(&rng, b, LEN), 0);
	ck_assert_mem_ne(a, b, LEN);
	ck_assert_int_eq(rng_bytes(&other, b, LEN), 0);
	ck_assert_mem_ne(a, b, LEN);
	rng_free(&other);
	rng_free(&rng);
}
END_TEST

START_TEST(rng_after_fork)
{
	unsigned char drawn[3][LEN];
	unsigned child_generation, second_generation, mine;

	ck_assert_int_eq(rng_init(&rng), 0);
	mine = fork_generation();
	draw_in_child(drawn[0], &child_generation, NULL);
	draw_in_child(drawn[1], &second_generation, NULL);
	ck_assert_int_eq(rng_bytes(&rng, drawn[2], LEN), 0);
	ck_assert_mem_ne(drawn[0], drawn[1], LEN);
	ck_assert_mem_ne(drawn[0], drawn[2], LEN);
	ck_assert_mem_ne(drawn[1], drawn[2], LEN);
	ck_assert_uint_eq(fork_generation(), mine);
	ck_assert_uint_eq(child_generation, mine + 1);
	ck_assert_uint_eq(second_generation, mine + 1);
	rng_free(&rng);
}
END_TEST

/* What makes the test above one that can fail: the generator by itself repeats its bytes in the child. */
static void pretend_to_be_the_parent(void)
{
	atomic_store(&rng.generation, fork_generation());
}

START_TEST(rng_would_repeat_itself_without_the_reseed)
{
	unsigned char child[LEN], parent[LEN];
	unsigned generation;

	ck_assert_int_eq(rng_init(&rng), 0);
	draw_in_child(child, &generation, pretend_to_be_the_parent);
	ck_assert_int_eq(rng_bytes(&rng, parent, LEN), 0);
	ck_assert_mem_eq(child, parent, LEN);
	rng_free(&rng);
}
END_TEST

static void fork_again(void)
{
	int status;
	pid_t child = fork();

	if (child > 0)
		_exit(waitpid(child, &status, 0) == child && status == 0 ? 0 : 1);
}

START_TEST(rng_in_a_grandchild)
{
	unsigned char grandchild[LEN], parent[LEN];
	unsigned generation;

	ck_assert_int_eq(rng_init(&rng), 0);
	draw_in_child(grandchild, &generation, fork_again);
	ck_assert_int_eq(rng_bytes(&rng, parent, LEN), 0);
	ck_assert_mem_ne(grandchild, parent, LEN);
	rng_free(&rng);
}
END_TEST

START_TEST(rng_fails_rather_than_repeat)
{
	unsigned char a[LEN];
	bool broken = false;

	ck_assert_int_eq(rng_init(&rng), 0);
	ck_assert_int_eq(rng_make_faulty(&rng, &broken), 0);
	ck_assert_int_eq(rng_bytes(&rng, a, LEN), 0);
	broken = true;
	rng_needs_entropy(&rng);
	ck_assert_int_ne(rng_bytes(&rng, a, LEN), 0);
	ck_assert_int_ne(rng_bytes(&rng, a, LEN), 0);
	broken = false;
	ck_assert_int_eq(rng_bytes(&rng, a, LEN), 0);
	rng_free(&rng);
}
END_TEST

Suite *rng_suite(void)
{
	Suite *suite = suite_create("rng");

	TEST(suite, rng_draws_differ);
	TEST(suite, rng_after_fork);
	TEST(suite, rng_would_repeat_itself_without_the_reseed);
	TEST(suite, rng_in_a_grandchild);
	TEST(suite, rng_fails_rather_than_repeat);
	return suite;
}
