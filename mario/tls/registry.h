/*
 * registry.h: the names of TLS sections, which stay for ever, each with its number and its counter; what clients
 * usually say of themselves; and what regist_tls() has got. Any thread.
 */
#ifndef MARIO_TLS_REGISTRY_H
#define MARIO_TLS_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/mario_tls.h"

/* The number of a name, which it keeps; -1 if there are MARIO_TLS_NAMES_MAX others. May wait. */
int registry_tls_number(const char *name);
/* A number's name. */
const char *registry_tls_name(unsigned number);
/* A handshake with this name has come to an end well. */
void registry_tls_count(unsigned number);

/* Texts that are the same for many sessions, the host asked for and the protocol chosen, as shake.c has them: text[0 ..
 * n-1], n <= 65,535, which stays for ever and has a number from then on. False: there are too many, or no memory. May
 * wait. */
bool registry_tls_learn(const char *text, size_t n);
/* The number of this one; 0: it has none. Waits for nobody. */
uint16_t registry_tls_known(const char *text, size_t n);
/* A number's text. */
const char *registry_tls_text(uint16_t number);

/* What is registered is in order: name, certificate, numbers. False with a line that begins with the field's name. */
bool registry_tls_check(const struct mario_tls *section, char *why, size_t size);

#endif
