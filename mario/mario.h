/*
 * mario.h: the one header a business function needs besides its protocol.
 *
 * The system headers are here because programs written against MarioTCP 0.9.9 rely on them.
 */
#ifndef MARIO_H
#define MARIO_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "mario_akg.h"
#include "mario_conn.h"
#include "mario_log.h"
#include "mario_server.h"
#include "mario_types.h"
#include "mario_util.h"
#include "mario_watch.h"

#endif
