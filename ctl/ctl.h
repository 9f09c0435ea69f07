/*
 * ctl.h: `maritcp ctl`: one command to a running server. The main thread.
 */
#ifndef MARITCP_CTL_H
#define MARITCP_CTL_H

/* argv[0] is "ctl". Returns the exit code: 0 done, 1 refused, 2 the words are wrong, 3 no server. */
int ctl_main(int argc, char **argv);

#endif
