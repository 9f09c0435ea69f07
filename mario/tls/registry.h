/*
 * registry.h: the names of TLS sections, which stay for ever, each with its number and its counter; and what
 * regist_tls() has got. Any thread.
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

/* What is registered is in order: name, certificate, numbers. False with a line that begins with the field's name. */
bool registry_tls_check(const struct mario_tls *section, char *why, size_t size);

#endif
