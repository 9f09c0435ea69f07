/*
 * mario.h: the one header a business function needs besides its protocol.
 *
 * The system headers are here because applications rely on them. Programs written against MarioTCP 0.9.9 find more
 * names in mario_compat.h; who wants those for himself defines MARIO_NO_COMPAT before this line.
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

#ifndef MARIO_NO_COMPAT
#include "mario_compat.h"
#endif

#include "mario_akg.h"
#include "mario_conn.h"
#include "mario_frame.h"
#include "mario_log.h"
#include "mario_push.h"
#include "mario_server.h"
#include "mario_tls.h"
#include "mario_types.h"
#include "mario_util.h"
#include "mario_admin.h"
#include "mario_watch.h"

#endif
