/*
 * top.h: `maritcp top`: what a server does, on a terminal, each second anew. Main thread.
 */
#ifndef MARITCP_TOP_H
#define MARITCP_TOP_H

/* argv[0] is "top": -s SOCKET, -c FILE as those of ctl. It goes on until q is typed; where it has no terminal it shows
 * one second and ends. Returns the exit code: 0, 2 the words are wrong, 3 no server. */
int top_main(int argc, char **argv);

#endif
