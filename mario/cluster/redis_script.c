/*
 * redis_script.c: the scripts, in Lua. Numbers are kept as text where they may have 64 bits: Lua's have 53. What
 * changes something is first computed, then written, then said to others; and what needs memory is written
 * first: an engine whose memory is full refuses a script as a whole before its first write, and only then.
 */
#include "mario/cluster/redis_script.h"

/* The meta of a history, made if there is none. An engine that was started anew may have forgotten the last numbers it
 * gave: from there on the epoch is another one, and the numbers go on. */
#define HISTORY_META                                                                     \
    "local m = redis.call('HMGET', KEYS[2], 'e', 's', 'r', 'b') "                        \
    "local e, s, b = m[1], m[2], m[4] "                                                  \
    "if not e or m[3] ~= ARGV[1] then "                                                  \
    "  local new = not e if new then s = '0' end "                                       \
    "  e, b = ARGV[2], s "                                                               \
    "  redis.call('HSET', KEYS[2], 'e', e, 's', s, 'b', b, 'r', ARGV[1]) "               \
    "  if new then redis.call('DEL', KEYS[1]) end "                                      \
    "  redis.call('PEXPIRE', KEYS[2], ARGV[3]) redis.call('PEXPIRE', KEYS[1], ARGV[3]) " \
    "end "

const char *const redis_scripts[SCRIPTS] = {
    [SCRIPT_CLAIM] =
        "local p, most, again = ARGV[1], tonumber(ARGV[6]), ARGV[7] == '1' "
        "local me = ARGV[2]..' '..ARGV[3]..' '..ARGV[4] "
        "local all = {} "
        "local old = redis.call('GET', KEYS[1]) "
        "if old then "
        "  for who, node, epoch, id in string.gmatch(old, '(([^ ,]+) (%d+) (%d+))') do "
        "    if who == me then redis.call('PEXPIRE', KEYS[1], ARGV[9]) return 1 end "
        "    if redis.call('GET', p..':e:'..node) == epoch then all[#all + 1] = {who, node, epoch, id} end "
        "  end "
        "end "
        "local first = 1 "
        "if most > 0 and #all >= most then "
        "  if again or ARGV[5] ~= '1' then return 0 end "
        "  first = #all - most + 2 "
        "end "
        "local new = {} "
        "if again then new[1] = me end "
        "for i = first, #all do new[#new + 1] = all[i][1] end "
        "if not again then new[#new + 1] = me end "
        "redis.call('SET', KEYS[1], table.concat(new, ','), 'PX', ARGV[9]) "
        "for i = 1, first - 1 do "
        "  redis.call('PUBLISH', p..':n:'..all[i][2], ARGV[8]..all[i][3]..' '..all[i][4]) "
        "end "
        "return 1",
    /* When the memory is full no record can be written, but one be removed. */
    [SCRIPT_RELEASE] = "local me = ARGV[1]..' '..ARGV[2]..' '..ARGV[3] "
                       "local old = redis.call('GET', KEYS[1]) "
                       "if not old then return 0 end "
                       "local new, was = {}, false "
                       "for who in string.gmatch(old, '[^,]+') do "
                       "  if who == me then was = true else new[#new + 1] = who end "
                       "end "
                       "if not was then return 0 end "
                       "if #new > 0 then "
                       "  local done = redis.pcall('SET', KEYS[1], table.concat(new, ','), 'PX', ARGV[4]) "
                       "  if not done.err then return 1 end "
                       "end "
                       "redis.call('DEL', KEYS[1]) "
                       "return 1",
    [SCRIPT_RENEW] = "local is = redis.call('GET', KEYS[1]) "
                     "if is == ARGV[2] then redis.call('PEXPIRE', KEYS[1], ARGV[3]) return 0 end "
                     "if is and redis.call('PUBSUB', 'NUMSUB', ARGV[1]..':'..is)[2] > 0 then return 2 end "
                     "redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) "
                     "return 1",
    [SCRIPT_RETIRE] = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end "
                      "return 1",
    /* The time to live is set anew when a day of it is over, not with each message. What stands in the
     * way of a number (a stream of somebody else's) is removed. */
    [SCRIPT_APPEND] =
        HISTORY_META "s = string.format('%.0f', redis.call('HINCRBY', KEYS[2], 's', 1)) "
                     "local done = redis.pcall('XADD', KEYS[1], 'MAXLEN', ARGV[4], s..'-0', 'm', ARGV[6]) "
                     "if done.err then "
                     "  redis.call('DEL', KEYS[1]) redis.call('XADD', KEYS[1], s..'-0', 'm', ARGV[6]) "
                     "end "
                     "if s == '1' or redis.call('PTTL', KEYS[2]) < ARGV[3] / 7 * 6 then "
                     "  redis.call('PEXPIRE', KEYS[2], ARGV[3]) redis.call('PEXPIRE', KEYS[1], ARGV[3]) "
                     "end "
                     "redis.call('PUBLISH', ARGV[5], '#'..e..' '..s..'\\n'..ARGV[6]) "
                     "return 1",
    [SCRIPT_FETCH] = HISTORY_META
    "local all, from, left, bytes = {e, s, b}, ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]) "
    "while left > 0 and bytes > 0 do "
    "  local n = math.min(left, 16) "
    "  local some = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', n) "
    "  for i = 1, #some do "
    "    all[#all + 1] = string.match(some[i][1], '^%d+') "
    "    all[#all + 1] = some[i][2][2] "
    "    bytes = bytes - #some[i][2][2] "
    "  end "
    "  if #some < n then break end "
    "  left = left - n "
    "  from = string.match(some[n][1], '^%d+')..'-1' "
    "end "
    "return all",
};
