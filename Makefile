# MarioTCP. `make help` says what there is.

include config.mk

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
DESTDIR ?=
VERSION := $(shell sed -n 's/^#define MARIO_VERSION "\(.*\)"/\1/p' mario/mario_util.h)

# The release variant puts its programs where DESIGN says; the sanitizer variants live in build/VARIANT.
B = build/$(VARIANT)
ifeq ($(VARIANT),release)
P =
LIBOUT = .
INTERNAL = mario/obj/
else
P = $(B)/
LIBOUT = ../$(B)/mario
INTERNAL = $(B)/mario/obj/
endif

LIB = $(P)mario/libmario.a
LIB_INTERNAL = $(INTERNAL)libmario_internal.a
CLUSTER = $(P)mario/libmario-cluster.a
CLUSTER_INTERNAL = $(INTERNAL)libmario_cluster_internal.a
INC = -I.
LIBS = -levent_core
HEADERS = $(wildcard mario/mario*.h)

# The doctor asks cgroups as the library does, which shows nobody how.
MARITCP_SRC = mario.c $(wildcard conf/*.c) $(wildcard ctl/*.c) $(wildcard doctor/*.c) $(wildcard function/*.c) \
    mario/process/cgroup.c
CLIENT_LIB_SRC = $(wildcard test/lib/*.c)
ENGINE_SRC = $(wildcard test/engine/*.c)
RUNNER_SRC = $(wildcard test/runner/*.c)
UNIT_TLS_SRC = $(wildcard test/unit/test_tls_*.c test/unit/tls_*.c) test/unit/test_clients_tls.c
UNIT_SRC = $(filter-out $(if $(HAS_TLS),,$(UNIT_TLS_SRC)),$(wildcard test/unit/*.c))
# Of the web server's what knows neither the library nor a socket.
WEB_PURE = $(addprefix example/web/,fastcgi.c head.c path.c script.c)
MQTT_PURE = $(addprefix example/mqtt/,frame.c read.c topic.c)
INTEGRATION_SRC = $(wildcard test/integration/*.c)

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))

all: lib $(P)maritcp clients ## build everything a user needs (the default)

lib: ## libmario and libmario-cluster, .a and .so
	@$(MAKE) --no-print-directory -C mario OUT=$(LIBOUT)

$(LIB) $(LIB_INTERNAL) $(CLUSTER) $(CLUSTER_INTERNAL): lib ;

clients: $(P)test/mario_test $(P)test/mario_load ## the LOGIN client and the load generator

$(P)maritcp: $(call obj,$(MARITCP_SRC)) $(CLUSTER) $(LIB)
	@$(CC) -rdynamic -o $@ $(filter %.o,$^) $(CLUSTER) $(LIB) $(LDFLAGS_ALL) $(CLUSTER_LIBS) $(LIBS)
	@echo "  LD   $@"

$(P)test/mario_test: $(call obj,test/mario_test.c test/login_options.c test/talk.c $(CLIENT_LIB_SRC))
	@mkdir -p $(@D)
	@$(CC) -o $@ $^ $(LDFLAGS_ALL) $(TLS_LIBS) -lm
	@echo "  LD   $@"

$(P)test/mario_load: $(call obj,$(wildcard test/load/*.c) $(CLIENT_LIB_SRC))
	@mkdir -p $(@D)
	@$(CC) -o $@ $^ $(LDFLAGS_ALL) $(TLS_LIBS) -lm
	@echo "  LD   $@"

bench/ceiling: bench/ceiling.c
	@$(CC) $(CFLAGS_ALL) -o $@ $<
	@echo "  LD   $@"

$(P)bench/log_cost: $(call obj,bench/log_cost.c) $(LIB_INTERNAL)
	@mkdir -p $(@D)
	@$(CC) -o $@ $(filter %.o,$^) $(LIB_INTERNAL) $(LDFLAGS_ALL) $(LIBS)
	@echo "  LD   $@"

$(P)bench/gate: $(call obj,bench/gate.c) $(LIB_INTERNAL)
	@mkdir -p $(@D)
	@$(CC) -o $@ $(filter %.o,$^) $(LIB_INTERNAL) $(LDFLAGS_ALL) $(LIBS)
	@echo "  LD   $@"

$(P)bench/tls_records: $(call obj,bench/tls_records.c $(CLIENT_LIB_SRC)) $(LIB_INTERNAL)
	@mkdir -p $(@D)
	@$(CC) -o $@ $(filter %.o,$^) $(LIB_INTERNAL) $(LDFLAGS_ALL) $(TLS_LIBS) $(LIBS) -lm
	@echo "  LD   $@"

bench/storm: bench/storm.c
	@$(CC) $(CFLAGS_ALL) $(INC) -o $@ $<
	@echo "  LD   $@"

bench/datagrams: bench/datagrams.c
	@$(CC) $(CFLAGS_ALL) $(INC) -o $@ $<
	@echo "  LD   $@"

bench/tls_shake bench/tls_bare: bench/%: bench/%.c bench/tls_yardstick.h
	@$(CC) $(CFLAGS_ALL) $(INC) -o $@ $< -lssl -lcrypto
	@echo "  LD   $@"

bench/tls_request: bench/tls_request.c
	@$(CC) $(CFLAGS_ALL) $(INC) -o $@ $< -lssl -lcrypto
	@echo "  LD   $@"

bench/offload: bench/offload.c $(LIB)
	@$(CC) $(CFLAGS_ALL) $(INC) -o $@ $< $(LIB) $(LDFLAGS_ALL) $(LIBS)
	@echo "  LD   $@"

# The drivers' tests are built where the drivers are.
$(B)/obj/test/unit/test_bus_%.o $(B)/obj/test/unit/nats_%.o: CFLAGS_ALL += $(CLUSTER_WITH)

# TLS's tests are built where it is; the clients can speak it there.
$(call obj,$(UNIT_TLS_SRC) test/unit/unit_main.c) $(B)/obj/test/lib/%.o: CFLAGS_ALL += $(TLS_WITH)

# Programs in the style of 0.9.9 are built as those were.
$(B)/obj/test/apps/legacy_%.o: CFLAGS_ALL := $(filter-out -std=% -D_GNU_SOURCE -Wshadow -Wstrict-prototypes \
    -Wmissing-prototypes,$(CFLAGS_ALL)) -std=c99 -DLINUX64

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_ALL) $(INC) -MMD -MP -c -o $@ $<
	@echo "  CC   $<"

# ---- Tests. T=name runs one suite, SAN=address or SAN=thread the same tests under a sanitizer ----

# Their allocations go by way of unit_heap.c, which can make them fail.
$(B)/unit_tests: $(call obj,$(UNIT_SRC) $(RUNNER_SRC) $(CLIENT_LIB_SRC) $(ENGINE_SRC) $(WEB_PURE) $(MQTT_PURE) $(wildcard conf/*.c) $(wildcard doctor/*.c)) $(CLUSTER_INTERNAL) $(LIB_INTERNAL)
	@$(CC) -o $@ $(filter %.o,$^) $(CLUSTER_INTERNAL) $(LIB_INTERNAL) $(addprefix -Wl$(,)--wrap=,malloc calloc realloc mmap spans_alloc) \
	    $(LDFLAGS_ALL) $$(pkg-config --libs check) $(CLUSTER_LIBS) $(TLS_LIBS) $(LIBS) -lm
	@echo "  LD   $@"

$(B)/integration_tests: $(call obj,$(INTEGRATION_SRC) $(RUNNER_SRC) $(CLIENT_LIB_SRC) $(ENGINE_SRC)) $(LIB)
	@$(CC) -o $@ $(filter %.o,$^) $(LIB) $(LDFLAGS_ALL) $$(pkg-config --libs check) $(TLS_LIBS) $(LIBS) -lm -ldl
	@echo "  LD   $@"

# The soak is built of what the integration tests share: all but the suites and their main.
SOAK_SRC = $(wildcard test/soak/*.c) test/integration/test_ledger.c \
    $(filter-out test/integration/test_%.c test/integration/integration_main.c,$(INTEGRATION_SRC))

$(B)/soak: $(call obj,$(SOAK_SRC) $(CLIENT_LIB_SRC) $(ENGINE_SRC))
	@$(CC) -o $@ $^ $(LDFLAGS_ALL) $$(pkg-config --libs check) $(TLS_LIBS) -lm
	@echo "  LD   $@"

# Applications the integration tests start: a file of test/apps/ is a program of its own, a folder with a main.c
# there is one of all its files.
APP_NAMES = $(patsubst test/apps/%.c,%,$(wildcard test/apps/*.c)) $(patsubst test/apps/%/main.c,%,$(wildcard test/apps/*/main.c))
C_APPS = $(addprefix $(B)/apps/,$(APP_NAMES))

$(foreach a,$(APP_NAMES),$(eval $(B)/apps/$a: $(call obj,$(wildcard test/apps/$a.c test/apps/$a/*.c))))
$(C_APPS): $(CLUSTER) $(LIB)
	@mkdir -p $(@D)
	@$(CC) -rdynamic -o $@ $(filter %.o,$^) $(CLUSTER) $(LIB) $(LDFLAGS_ALL) $(CLUSTER_LIBS) $(LIBS)
	@echo "  LD   $@"

# Libraries they are started with, to make system calls and allocations fail.
$(B)/preload/%.so: test/preload/%.c
	@mkdir -p $(@D)
	@$(CC) $(filter-out -fsanitize=%,$(CFLAGS_ALL)) $(INC) -fPIC -shared -o $@ $< -ldl
	@echo "  LD   $@"

# The public headers fit C++: an application in C++.
$(B)/apps/cxx: test/apps/cxx.cc $(LIB)
	@mkdir -p $(@D)
	@$(CXX) -I. -Wall -Wextra -Werror $(OPT) -g $(filter -fsanitize=%,$(LDFLAGS_ALL)) -o $@ $< $(LIB) $(LDFLAGS_ALL) $(LIBS)
	@echo "  LD   $@"

# One in the style of 0.9.9, as C++.
$(B)/apps/legacy_table_cxx: test/apps/legacy_table.c $(LIB)
	@mkdir -p $(@D)
	@$(CXX) -x c++ -I. -DLINUX64 -Wall -Wextra -Werror $(OPT) -g $(filter -fsanitize=%,$(LDFLAGS_ALL)) -o $@ $< -x none $(LIB) $(LDFLAGS_ALL) $(LIBS)
	@echo "  LD   $@"

# The example with a database, as a program that a test starts.
$(B)/apps/login-db: $(wildcard example/login-db/*.[ch]) $(LIB)
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_ALL) $(INC) -o $@ $(wildcard example/login-db/*.c) $(LIB) $(LDFLAGS_ALL) $(LIBS) $$(pkg-config --cflags --libs sqlite3)
	@echo "  LD   $@"

# The web server.
$(B)/apps/web: $(call obj,$(wildcard example/web/*.c)) $(LIB)
	@mkdir -p $(@D)
	@$(CC) -o $@ $(filter %.o,$^) $(LIB) $(LDFLAGS_ALL) $(LIBS) -lfcgi
	@echo "  LD   $@"

$(B)/apps/mqtt: $(call obj,$(wildcard example/mqtt/*.c)) $(LIB)
	@mkdir -p $(@D)
	@$(CC) -rdynamic -o $@ $(filter %.o,$^) $(LIB) $(LDFLAGS_ALL) $(LIBS)
	@echo "  LD   $@"

# The chat: its server, the client and the robots. The lists are those of its own Makefiles.
chat_src = $(addprefix example/chat/,$(shell sed -n 's/^$(1) = //p' example/chat/Makefile.tree))
CHAT = $(addprefix $(B)/apps/chat-,server client robots)

$(B)/apps/chat-server: $(call obj,$(call chat_src,SERVER)) $(CLUSTER) $(LIB)
$(B)/apps/chat-client: $(call obj,$(call chat_src,CLIENT))
$(B)/apps/chat-robots: $(call obj,$(call chat_src,ROBOTS))
$(CHAT):
	@mkdir -p $(@D)
	@$(CC) -o $@ $(filter %.o,$^) $(filter $(CLUSTER) $(LIB),$^) $(LDFLAGS_ALL) $(if $(filter $(LIB),$^),$(CLUSTER_LIBS) $(LIBS))
	@echo "  LD   $@"

# maritcp as it is where neither engine's library was there to build with.
$(B)/apps/maritcp-bare: $(call obj,$(MARITCP_SRC) $(wildcard mario/cluster/*.c)) $(LIB)
	@mkdir -p $(@D)
	@$(CC) -rdynamic -o $@ $(filter %.o,$^) $(LIB) $(LDFLAGS_ALL) $(LIBS)
	@echo "  LD   $@"

APPS = $(C_APPS) $(B)/apps/cxx $(B)/apps/legacy_table_cxx $(B)/apps/login-db $(B)/apps/web $(B)/apps/mqtt $(B)/apps/maritcp-bare $(CHAT)
PRELOADS = $(patsubst test/preload/%.c,$(B)/preload/%.so,$(wildcard test/preload/*.c))

test: deps-test ## build and run all tests; T=NAME one suite; SAN=address|thread
	@$(MAKE) --no-print-directory test-build
	@B=$(B) P=$(P) scripts/test $(T)

test-page: deps-page ## the live page in a headless Chromium, clicked by a script
	@$(MAKE) --no-print-directory $(B)/apps/testapp
	@B=$(B) P=$(P) scripts/test page

test-peers: deps-scanners ## other people's TLS clients, and testssl.sh, which takes some minutes
	@$(MAKE) --no-print-directory $(B)/apps/testapp $(B)/apps/web
	@B=$(B) P=$(P) scripts/test peers
	@APPS=$(CURDIR)/$(B)/apps python3 test/peers/test_peers.py testssl

pictures: deps-page ## of the live page, for docs/operations.md
	@$(MAKE) --no-print-directory $(B)/apps/testapp
	@APPS=$(CURDIR)/$(B)/apps python3 test/page/test_page.py -p docs/img

test-build: all $(B)/unit_tests $(B)/integration_tests $(B)/soak $(APPS) $(PRELOADS)

soak: deps-test ## random faults for MINUTES=60; SEED=n for the same ones again; KIND=name; SAN= as above
	@$(MAKE) --no-print-directory $(B)/soak $(B)/apps/testapp $(B)/preload/inject.so
	@$(B)/soak -m $(or $(MINUTES),60) $(if $(SEED),-s $(SEED)) $(if $(KIND),-k $(KIND)) -o $(B)/soak.notes

fuzz: deps-fuzz ## libFuzzer on the codec, a queue, a whole worker and what operators send, for SECONDS=20
	@test/fuzz/run $(or $(SECONDS),20)

fuzz-coverage: deps-coverage ## which lines these two run in SECONDS=20
	@test/fuzz/run $(or $(SECONDS),20) coverage

fuzz-afl: deps-afl ## AFL++ instead, SECONDS=60
	@test/fuzz/run $(or $(SECONDS),60) afl

model: deps-model ## model-check the ring, the doorbell and the fence with spin
	@test/model/run

mutants: deps-test ## break the product in fifty places, one at a time: do the tests notice? M="WORD..." only those
	@test/mutants/run $(M)

check-style: deps-check ## format, static checks, file map, generated texts
	@scripts/check-style

bench: deps-bench all bench/ceiling bench/offload ## measure against a bare epoll server; ARGS=--quick
	@python3 bench/bench.py $(ARGS)

bench-log: $(P)bench/log_cost ## what a log call costs its caller
	@$<

bench-gate: deps-bench all $(P)bench/gate bench/storm ## what it costs to ask who may come in, and who notices; ARGS=--rounds=3
	@$(P)bench/gate
	@python3 bench/storm.py $(ARGS)

bench-tls-records: $(P)bench/tls_records ## what a record of TLS costs, and an idle session weighs; ARGS=N: of so many sessions
	@$< $(ARGS)

bench-udp: all bench/datagrams ## what a datagram costs beside a loop of recvmmsg(); ARGS=rounds
	@bench/datagrams ./maritcp $(ARGS)

bench-models: deps-bench all ## measure every way to write a server side by side; ARGS=--quick
	@$(MAKE) --no-print-directory -C bench/models
	@python3 bench/models.py $(ARGS)

bench-push: deps-bench all ## measure pushing to many, beside peers that are installed; ARGS=--quick
	@$(MAKE) --no-print-directory -C bench/models
	@$(MAKE) --no-print-directory -C bench/push
	@python3 bench/push.py $(ARGS)

bench-operator: deps-bench all ## what it costs connections that somebody lists them all
	@python3 bench/operator.py $(ARGS)

bench-cluster: deps-test all ## measure several servers as one, over Redis and NATS; ARGS=--quick
	@$(MAKE) --no-print-directory -C bench/cluster
	@python3 bench/cluster.py $(ARGS)

bench-tls: deps-tls all bench/tls_shake bench/tls_bare bench/tls_request ## measure what TLS costs, beside nginx and haproxy; ARGS=--quick
	@python3 bench/tls.py $(ARGS)

million: deps-million all ## a million connections, in a guest if this machine cannot: N=1000000 HOLD=60; TLS=1
	@N=$(or $(N),1000000) HOLD=$(or $(HOLD),60) TLS=$(or $(filter-out yes no,$(TLS)),0) bench/million/run

demo: deps-build ## build, start maritcp, drive it with the LOGIN client, stop it
	@$(MAKE) --no-print-directory all
	@scripts/demo

demo-chat: deps-build ## a chat in a minute: two people, a second login, a thousand robots
	@$(MAKE) --no-print-directory all $(CHAT)
	@APPS=$(B)/apps scripts/demo-chat

demo-cluster: deps-build ## two chat servers as one: people on both, robots, and one server is killed
	@$(MAKE) --no-print-directory all $(CHAT)
	@APPS=$(B)/apps scripts/demo-cluster

# ---- Installing ----

deps: ## install the Debian packages that building and testing need
	@scripts/deps test
DEPS = $(addprefix deps-,build deb test page scanners bench tls million fuzz coverage afl model check)
$(DEPS): deps-%:
	@scripts/deps $*

mario.pc mario-cluster.pc: %: %.in FORCE
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR:$(PREFIX)/%=$${prefix}/%)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@HIREDIS@|$(if $(HAS_REDIS),-lhiredis)|' $< > $@

install: all mario.pc mario-cluster.pc ## DESTDIR= PREFIX=/usr/local: programs, libraries, headers, pkg-config, man pages
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBDIR)/pkgconfig
	install -d $(DESTDIR)$(PREFIX)/include/mario $(DESTDIR)$(PREFIX)/share/doc/mariotcp/conf
	install -d $(DESTDIR)$(PREFIX)/share/doc/mariotcp/docs/bench
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man3 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 755 maritcp $(DESTDIR)$(PREFIX)/sbin/
	install -m 755 test/mario_test test/mario_load $(DESTDIR)$(PREFIX)/bin/
	install -m 644 mario/libmario.a mario/libmario-cluster.a $(DESTDIR)$(LIBDIR)/
	@for l in libmario libmario-cluster; do \
	    install -m 755 mario/$$l.so $(DESTDIR)$(LIBDIR)/$$l.so.1 && \
	    ln -sf $$l.so.1 $(DESTDIR)$(LIBDIR)/$$l.so || exit 1; \
	done
	install -m 644 $(HEADERS) $(DESTDIR)$(PREFIX)/include/mario/
	install -m 644 mario.pc mario-cluster.pc $(DESTDIR)$(LIBDIR)/pkgconfig/
	install -m 644 *.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/mariotcp/
	install -m 644 conf/*.conf $(DESTDIR)$(PREFIX)/share/doc/mariotcp/conf/
	install -m 644 docs/*.md $(DESTDIR)$(PREFIX)/share/doc/mariotcp/docs/
	install -m 644 docs/bench/*.md docs/bench/*.svg $(DESTDIR)$(PREFIX)/share/doc/mariotcp/docs/bench/
	install -d $(DESTDIR)$(PREFIX)/share/doc/mariotcp/docs/img
	install -m 644 docs/img/*.png $(DESTDIR)$(PREFIX)/share/doc/mariotcp/docs/img/
	@for e in counter login-db chat web mqtt; do \
	    install -d $(DESTDIR)$(PREFIX)/share/doc/mariotcp/example/$$e && \
	    install -m 644 example/$$e/Makefile* example/$$e/README.md example/$$e/*.[ch] \
	        $(DESTDIR)$(PREFIX)/share/doc/mariotcp/example/$$e/ || exit 1; \
	done
	install -d $(DESTDIR)$(PREFIX)/share/doc/mariotcp/example/web/htdocs $(DESTDIR)$(PREFIX)/share/doc/mariotcp/example/web/cgi-bin
	install -m 644 example/web/htdocs/* $(DESTDIR)$(PREFIX)/share/doc/mariotcp/example/web/htdocs/
	install -m 755 example/web/cgi-bin/* $(DESTDIR)$(PREFIX)/share/doc/mariotcp/example/web/cgi-bin/
	install -m 644 docs/mario_test.1 docs/mario_load.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 docs/mario.3 docs/mario_push.3 docs/mario_cluster.3 docs/mario_route.3 docs/mario_admin.3 $(DESTDIR)$(PREFIX)/share/man/man3/
	install -m 644 docs/maritcp.8 $(DESTDIR)$(PREFIX)/share/man/man8/
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 644 contrib/completion/maritcp $(DESTDIR)$(PREFIX)/share/bash-completion/completions/

deb: deps-deb ## Debian packages of this tree, in build/deb
	@scripts/deb

test-deb: deb ## install, start, upgrade, remove and purge them, above this system, on a layer that is thrown away
	@scripts/test-deb

clean: ## remove what was built
	@$(MAKE) --no-print-directory -C mario clean
	rm -rf build maritcp test/mario_test test/mario_load bench/ceiling bench/log_cost bench/gate bench/tls_records bench/storm bench/offload bench/datagrams bench/tls_shake bench/tls_bare bench/tls_request mario.pc mario-cluster.pc

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

FORCE:

.PHONY: FORCE all lib clients test test-page test-peers pictures test-build soak fuzz fuzz-coverage fuzz-afl model mutants check-style bench bench-log bench-gate bench-tls-records bench-udp bench-models bench-push bench-cluster bench-operator bench-tls million demo demo-chat demo-cluster deb test-deb deps $(DEPS) \
	install \
	clean help
