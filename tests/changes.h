/* changes.h - keeps threads in step with one that makes changes: session number n waits for change number n, so that they
 * mix however the threads are scheduled. */
#ifndef CHANGES_H
#define CHANGES_H

void changes_made(unsigned number);
void changes_await(unsigned number);

#endif
