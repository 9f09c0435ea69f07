/*
 * accounts.h: what must hold of the fuzzed worker once everybody has gone.
 */
#ifndef TEST_FUZZ_ACCOUNTS_H
#define TEST_FUZZ_ACCOUNTS_H

#include "mario/conn/shard.h"

/* An input begins; so many connections were given to the worker before. */
void accounts_begin(const struct shard *s, uint32_t handed);
/* It is over, nobody is left: the counters add up, every place is free. */
void accounts_check(const struct shard *s, uint32_t handed);

#endif
