/*
 * conf_cases.h: the inputs of test_conf.c, in tables. Included there only.
 */
#ifndef CONF_CASES_H
#define CONF_CASES_H

#include <stddef.h>

/* Bad values: the same row is tried in a file, behind two other lines, and as an override. */
static const struct {
    const char *key, *value, *says, *allowed;
} bad_values[] = {
    {"server.port", "65536", "out of range", "1 .. 65535"},
    {"server.port", "0", "out of range", "1 .. 65535"},
    {"server.port", "eighty", "not a number", "1 .. 65535"},
    {"server.port", "80x", "behind the number", "1 .. 65535"},
    {"server.port", "80 81", "behind the number", "1 .. 65535"},
    {"server.port", "8.5", "behind the number", "1 .. 65535"},
    {"server.port", "0x50", "behind the number", "1 .. 65535"},
    {"server.port", "-1", "negative", "1 .. 65535"},
    {"server.port", "+1", "not a number", "1 .. 65535"},
    {"server.port", "", "no value", "1 .. 65535"},
    {"server.port", "4294967297", "out of range", "1 .. 65535"},
    {"server.port", "18446744073709551617", "out of range", "1 .. 65535"},
    {"server.port", "99999999999999999999999999999999999999999999", "out of range", "1 .. 65535"},
    {"server.workernum", "257", "out of range", "0 .. 256"},
    {"server.connnum", "16777216", "out of range", "0 .. 16777215"},
    {"server.strict_limits", "yes", "not one of the words", "off, on"},
    {"server.when_full", "ON", "not one of the words", "refuse, wait"},
    {"server.timeout", "31536001", "out of range", "0 .. 31536000"},
    {"server.write_timeout", "1s", "behind the number", "0 .. 31536000"},
    {"server.packet_timeout", "-10", "negative", "0 .. 31536000"},
    {"server.max_pkglen", "7", "out of range", "8 .. 65535"},
    {"server.max_pkglen", "65536", "out of range", "8 .. 65535"},
    {"server.stx", "0x1ffffffff", "out of range", "0x0 .. 0xffffffff"},
    {"server.stx", "0x", "not a number", "0x0 .. 0xffffffff"},
    {"server.stx", "0xfg", "behind the number", "0x0 .. 0xffffffff"},
    {"server.stx", "8eb69af7", "behind the number", "0x0 .. 0xffffffff"},
    {"server.backlog", "0", "out of range", "1 .. 65535"},
    {"output.high", "1023", "out of range", "1k .. 1g"},
    {"output.high", "2g", "out of range", "1k .. 1g"},
    {"output.high", "4194304g", "out of range", "1k .. 1g"},
    {"output.high", "17179869184g", "out of range", "1k .. 1g"},
    {"output.high", "256kb", "behind the number", "1k .. 1g"},
    {"output.high", "k", "not a number", "1k .. 1g"},
    {"output.high", "8m", "above output.max 4m", "1k .. 4m"},
    {"log.level", "verbose", "not one of the words", "err, warn, info, debug"},
    {"log.file", "", "no value", "1 .. 180 bytes"},
    {"log.file", "a;b", "';'", "1 .. 180 bytes"},
    {"collect.interval", "0", "out of range", "1 .. 31536000"},
    {"server.listen", "", "no value", "addr:port"},
    {"server.listen", "1.2.3:80", "not an IPv4", "addr:port"},
    {"server.listen", "localhost:80", "not an IPv4", "addr:port"},
    {"server.listen", "1.2.3.4", "a port is missing", "addr:port"},
    {"server.listen", "1.2.3.4:", "not a port", "65535"},
    {"server.listen", "1.2.3.4:65536", "not a port", "65535"},
    {"server.listen", "1.2.3.4:-1", "not a port", "65535"},
    {"server.listen", "1.2.3.4:http", "not a port", "65535"},
    {"server.listen", "1.2.3.4:80,,1.2.3.4:81", "empty", "addr:port"},
    {"server.listen", ",1.2.3.4:80", "empty", "addr:port"},
    {"server.listen", "1.2.3.4:80,", "empty", "addr:port"},
    {"server.listen", "1.2.3.4:80, 1.2.3.4:80", "twice", "addr:port"},
    {"server.listen", "[::1]:80,[0:0::1]:80", "twice", "addr:port"},
    {"server.listen", "unix:/a,unix:/a", "twice", "addr:port"},
    {"server.listen", "[::1]", "port", ""},
    {"server.listen", "[::1:80", "]", "addr:port"},
    {"server.listen", "[::g]:80", "not an IPv6", "addr:port"},
    {"server.listen", "::1:80", "IPv4", "addr:port"},
    {"server.listen", "unix:", "path", "addr:port"},
    {"server.listen",
     "unix:/"
     "23456789a123456789b123456789c123456789d123456789e123456789f123456789g123456789h123456789i123456789j1234"
     "5678",
     "107 bytes", "107"},
    {"server.timout", "3", "did you mean server.timeout?", "packet_timeout"},
    {"log.port", "3", "did you mean server.port?", "file, level"},
    {"server.zzzzzzzz", "3", "unknown key (", "listen, port"},
};

#define TEXT(literal) literal, sizeof(literal) - 1
#define FIFTY         "01234567890123456789012345678901234567890123456789"

/* Files that are wrong in their form. */
static const struct {
    const char *text;
    size_t len;
    int line;
    const char *says;
} bad_files[] = {
    {TEXT("[sever]\n"), 1, "did you mean [server]? (allowed: server, output, offload, log, collect)"},
    {TEXT("[]\n"), 1, "unknown section"},
    {TEXT("\n[nonsense]\nport = 1\n"), 2, "unknown section 'nonsense' ("},
    {TEXT("[server\nport = 1\n"), 1, "missing ']'"},
    {TEXT("[server] port = 1\n"), 1, "behind the ']'"},
    {TEXT("port = 1\n"), 1, "before any [section]"},
    {TEXT("[server]\nport\n"), 2, "missing '='"},
    {TEXT("[server]\nport 80"), 2, "missing '='"},
    {TEXT("[server]\ntimeout = 1\n  60\n"), 3, "missing '='"},
    {TEXT("[server]\n= 80\n"), 2, "unknown key"},
    {TEXT("[server]\nport = 1\n\nport = 2\n"), 4, "server.port: is already set in line 2"},
    {TEXT("[server]\nport = 1\n[log]\n[server]\nport = 1\n"), 5, "is already set in line 2"},
    {TEXT("[server]\nport = 80 # comment\n"), 2, "behind the number"},
    {TEXT("[server]\nport = 8\0000\n"), 2, "byte 0x00 in column 9"},
    {TEXT("[server]\n# \xff\n"), 2, "byte 0xff in column 3"},
    {TEXT("[server]\n# \xc0\x80\n"), 2, "byte 0xc0"},
    {TEXT("[server]\n# \xed\xa0\x80\n"), 2, "byte 0xed"},
    {TEXT("[server]\n# \xe2\x82\n"), 2, "byte 0xe2"},
    {TEXT("[server]\nport = 80\rtimeout = 3\n"), 2, "byte 0x0d"},
    {TEXT("\177ELF\x02\x01\x01\0\0"), 1, "byte 0x7f"},
    {TEXT("[log]\nfile = " FIFTY FIFTY FIFTY FIFTY "\n"), 2, "too long (allowed: up to 199 bytes)"},
    {TEXT("[log]\n; " FIFTY FIFTY FIFTY FIFTY "\n"), 2, "too long (allowed: up to 199 bytes)"},
    {TEXT("[log]\nfile = " FIFTY FIFTY FIFTY FIFTY), 2, "too long (allowed: up to 199 bytes)"},
    {TEXT("[server]\nlisten = 1.2.3.4:1,\ntimeout = 3\n"), 2, "server.listen: ''"},
    {TEXT("[server]\nlisten = 1.2.3.4:1,\n  # last\n"), 2, "server.listen: ''"},
    {TEXT("[server]\nlisten = 1.2.3.4:1,\n  timeout = 3\n"), 2, "server.listen: 'timeout = 3'"},
    {TEXT("[server]\nworkernum = 256\nconnnum = 16777215\n"), 3, "more than any process can have"},
    {TEXT("[server]\nconnnum = 16777215\nworkernum = 256\n"), 3, "workernum * connnum up to 2147483584"},
    {TEXT("[output]\nmax = 16k\nhigh = 32k\n"), 3, "output.high: 32k is above output.max 16k"},
    {TEXT("[output]\nhigh = 32k\nmax = 16k\n"), 3, "output.max: 16k is below output.high 32k"},
    {TEXT("[nonsense]\n[server]\nport = x\n"), 1, "unknown section"},
};

/* Overrides that are wrong in their form. */
static const char *const bad_overrides[] = {
    "",
    "=",
    ".",
    "server",
    "server.port",
    "port=80",
    "server=80",
    "server.=80",
    ".port=80",
    "sever.port=80",
    "server.port=1\n2",
    "server.\xff=1",
    "log.file=a\nb",
    "log.file=\xff",
    "log.file=a\x01",
    "server." FIFTY FIFTY "=1",
    FIFTY FIFTY ".port=1",
    "log.file=" FIFTY FIFTY FIFTY FIFTY,
};

/* Good files, with one value that they give. */
static const struct {
    const char *text, *section, *key, *value;
} good_files[] = {
    {"", "server", "listen", "0.0.0.0:8082"},
    {"[server]\nport = 65535", "server", "listen", "0.0.0.0:65535"},
    {"[server]\r\nport = 0080\r\n", "server", "listen", "0.0.0.0:80"},
    {"\xef\xbb\xbf[server]\nport = 1\n", "server", "listen", "0.0.0.0:1"},
    {"\xef\xbb\xbf  ; \xe2\x82\xac\n[server]\nport = 1\n", "server", "listen", "0.0.0.0:1"},
    {" [server] ; here\n\tport : 1 ; there\n  timeout=2\n", "server", "timeout", "2"},
    {"[server]\nlisten = [::]:1\nport = 2\n", "server", "listen", "0.0.0.0:2"},
    {"[server]\nport = 2\nlisten = [::]:1\n", "server", "listen", "[::]:1"},
    {"[server]\nlisten = 127.0.0.1:0 , [::1]:0,127.0.0.1:0,unix:/a b\n", "server", "listen",
     "127.0.0.1:0 , [::1]:0,127.0.0.1:0,unix:/a b"},
    {"[server]\nlisten = 127.0.0.1:1, ; one\n\n# two\n  unix:/a, ; two\n\t[::1]:3 ; three\ntimeout = 4\n",
     "server", "listen", "127.0.0.1:1,unix:/a,[::1]:3"},
    {"[server]\nlisten = 127.0.0.1:1,\n  unix:/a\ntimeout = 4\n", "server", "timeout", "4"},
    {"[server]\nlisten = "
     "unix:/23456789a123456789b123456789c123456789d123456789e123456789f123456789g123456789h12345678"
     "9i123456789j1234567\n",
     "server", "listen",
     "unix:/23456789a123456789b123456789c123456789d123456789e123456789f123456789g123456789h12345678"
     "9i123456789j1234567"},
    {"[server]\nstx = 0X8EB69AF7\n", "server", "stx", "0x8eb69af7"},
    {"[server]\nstx = 4294967295\n", "server", "stx", "0xffffffff"},
    {"[server]\nstrict_limits = off\n", "server", "strict_limits", "off"},
    {"[server]\nprefault = on\n", "server", "prefault", "on"},
    {"[server]\nwhen_full = wait\n", "server", "when_full", "wait"},
    {"[server]\nworkernum = 256\nconnnum = 4096\n", "server", "connnum", "4096"},
    {"[server]\nmax_pkglen = 8\n", "server", "max_pkglen", "8"},
    {"[output]\nhigh = 1K\nmax = 1024\n", "output", "max", "1k"},
    {"[output]\nmax = 1g\nhigh = 1025\n", "output", "high", "1025"},
    {"[output]\nmax = 1048576k\n", "output", "max", "1g"},
    {"[output]\nmax = 1k\n", "output", "high", "1k"},
    {"[log]\nfile = /var/log/a b.log\n", "log", "file", "/var/log/a b.log"},
    {"[log]\nlevel = debug\n[server]\n[log]\n", "log", "level", "debug"},
    {"[log]\nfile = " FIFTY FIFTY FIFTY "012345678901234567890123456789\n", "log", "file",
     FIFTY FIFTY FIFTY "012345678901234567890123456789"},
    {"[collect]\ninterval = 31536000\n", "collect", "interval", "31536000"},
};

#endif
