/*
 * fault.c: the table of kinds. Constant, any thread.
 */
#include "fault.h"

#include <errno.h>
#include <stddef.h>

static const struct {
    const char *name, *text;
} rows[FAULT_COUNT] = {
    [FAULT_NONE] = {"none", "nothing is wrong"},
    [FAULT_REFUSED] = {"refused", "the connection was refused"},
    [FAULT_RESET] = {"reset", "the connection was reset"},
    [FAULT_CLOSED] = {"closed", "the server closed the connection"},
    [FAULT_BAD_STX] = {"bad_stx", "a reply with a wrong stx"},
    [FAULT_BAD_AKG] = {"bad_akg", "a reply with a wrong akg_id"},
    [FAULT_BAD_LENGTH] = {"bad_length", "a reply with a wrong length"},
    [FAULT_BAD_CONTENT] = {"bad_content", "a reply with wrong content"},
    [FAULT_AWAY] = {"away", "the server told it to go away"},
    [FAULT_TIMEOUT] = {"timeout", "no answer in time"},
    [FAULT_TLS] = {"tls", "TLS failed"},
    [FAULT_LOCAL] = {"local", "this machine has no descriptor, port or memory left"},
};

const char *fault_name(enum fault f)
{
    return rows[f].name;
}

const char *fault_text(enum fault f)
{
    return rows[f].text;
}

enum fault fault_of_errno(int err)
{
    static const struct {
        int err;
        enum fault fault;
    } map[] = {
        {ECONNRESET, FAULT_RESET}, {EPIPE, FAULT_RESET},  {ETIMEDOUT, FAULT_TIMEOUT},
        {EMFILE, FAULT_LOCAL},     {ENFILE, FAULT_LOCAL}, {ENOMEM, FAULT_LOCAL},
        {ENOBUFS, FAULT_LOCAL},    {ENOSPC, FAULT_LOCAL}, {EADDRINUSE, FAULT_LOCAL},
        {EACCES, FAULT_LOCAL},     {EPERM, FAULT_LOCAL},  {EADDRNOTAVAIL, FAULT_LOCAL},
        {EPROTO, FAULT_TLS},
    };
    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++)
        if (map[i].err == err)
            return map[i].fault;
    return FAULT_REFUSED;
}
