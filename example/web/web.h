/*
 * web.h: which function answers what, and the functions. A packet is a whole request: its head and its body.
 */
#ifndef WEB_WEB_H
#define WEB_WEB_H

#include "mario/mario.h"

enum {
    WEB_FILE = 1, /* inline: a file, or that there is none */
    WEB_CGI = 2   /* offloaded: a script's answer */
};

#define WEB_CGI_PATH "/cgi-bin/" /* paths below it are scripts */

/* ---- The framing (http.c) ---- */

/* Register it under the name `http`. As regist_framing(). */
sint32 http_regist(void);

/* ---- Files (files.c) ---- */

/* Serve what lies below this directory; kept open. Main, before the server starts. 0, or -1 after a line on standard
 * error. */
sint32 files_prepare(const char *dir);
/* Its whole path. */
const char *files_root(void);
/* The business function: GET or HEAD of a file. */
sint32 files_answer(CONN *c);

/* ---- Scripts (cgi.c) ---- */

/* Programs in this directory, which is not below that of the files, answer, each request within `seconds`. Main, after
 * files_prepare(). 0, or -1 after a line on standard error. */
sint32 cgi_prepare(const char *dir, uint32 seconds);
/* The business function, offloaded: what a script says. */
sint32 cgi_answer(CONN *c);

#endif
