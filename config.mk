# What every Makefile here shares: compiler, flags, variants.
#   WERROR=-Werror  as CI does
#   SAN=address   ASan + UBSan       SAN=thread   TSan       (nothing)   release

CC ?= gcc
OBJCOPY ?= objcopy
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(WERROR)
OPT ?= -O2
CFLAGS_ALL = -std=gnu11 -D_GNU_SOURCE $(OPT) -g -fno-omit-frame-pointer -pthread $(WARN) $(CFLAGS)
LDFLAGS_ALL = -pthread $(LDFLAGS)

ifeq ($(SAN),address)
VARIANT = address
CFLAGS_ALL += -fsanitize=address,undefined -fno-sanitize-recover=all
LDFLAGS_ALL += -fsanitize=address,undefined
else ifeq ($(SAN),thread)
VARIANT = thread
CFLAGS_ALL += -fsanitize=thread
LDFLAGS_ALL += -fsanitize=thread
else ifeq ($(SAN),)
VARIANT = release
else
$(error SAN is address, thread or nothing)
endif
