/* Numbers stay the strings they came as: Lua would write them with an exponent. What
 * only moves or removes may run when Redis has no memory left (allow-oom). Not to be
 * wrapped: */
/* clang-format off */
#include "script.h"

#define FREES "#!lua flags=allow-oom\n"

/* read: what waits for a key, oldest first, as {start, tries, due}.
 * write: puts it back, and the key where it belongs. */
#define BASE \
    "local call = redis.call\n" \
    "local function read(key)\n" \
    "  local list = {}\n" \
    "  local w = call('HGET', 'push:t:' .. key, 'w') or ''\n" \
    "  for start, tries, due in string.gmatch(w, '(%d+) (%d+) (%d+)') do\n" \
    "    list[#list + 1] = {start, tries, due}\n" \
    "  end\n" \
    "  return list\n" \
    "end\n" \
    "local function next_of(list)\n" \
    "  local at = 1\n" \
    "  for i = 2, #list do\n" \
    "    if tonumber(list[i][3]) < tonumber(list[at][3]) then at = i end\n" \
    "  end\n" \
    "  return list[at]\n" \
    "end\n" \
    "local function find(list, start)\n" \
    "  for i = 1, #list do\n" \
    "    if list[i][1] == start then return i end\n" \
    "  end\n" \
    "end\n" \
    "local function write(key, addr, list, before)\n" \
    "  call('INCRBY', 'push:count', #list - before)\n" \
    "  if #list == 0 then\n" \
    "    call('DEL', 'push:t:' .. key)\n" \
    "    call('ZREM', 'push:first', key)\n" \
    "    call('ZREM', 'push:again', key)\n" \
    "    call('ZREM', 'push:age', key)\n" \
    "    call('SREM', 'push:a:' .. addr, key)\n" \
    "    return\n" \
    "  end\n" \
    "  local words = {}\n" \
    "  for i = 1, #list do words[i] = table.concat(list[i], ' ') end\n" \
    "  call('HSET', 'push:t:' .. key, 'w', table.concat(words, ' '))\n" \
    "  local first = next_of(list)\n" \
    "  local fresh = first[2] == '0'\n" \
    "  if before > 0 then\n" \
    "    call('ZREM', fresh and 'push:again' or 'push:first', key)\n" \
    "  end\n" \
    "  call('ZADD', fresh and 'push:first' or 'push:again', first[3], key)\n" \
    "  call('ZADD', 'push:age', list[1][1], key)\n" \
    "end\n"

/* addr, max, time of a ring whose tokens are to be looked up or '', and of each token:
 * key, token, start, start of the one under way. */
const char script_add[] =
    "#!lua\n"
    BASE
    "local addr, max = ARGV[1], tonumber(ARGV[2])\n"
    "for i = 4, #ARGV, 4 do\n"
    "  local key = ARGV[i]\n"
    "  local list = read(key)\n"
    "  local before = #list\n"
    "  if before >= max then\n"
    "    table.remove(list, list[before][1] == ARGV[i + 3] and before - 1 or before)\n"
    "  end\n"
    "  list[#list + 1] = {ARGV[i + 2], '0', ARGV[i + 2]}\n"
    "  if before == 0 then\n"
    "    call('HSET', 'push:t:' .. key, 'a', addr, 'b', ARGV[i + 1])\n"
    "    call('SADD', 'push:a:' .. addr, key)\n"
    "  end\n"
    "  write(key, addr, list, before)\n"
    "end\n"
    "if ARGV[3] ~= '' then\n"
    "  call('ZADD', 'push:lookup', ARGV[3], addr)\n"
    "else\n"
    "  call('ZREM', 'push:lookup', addr)\n"
    "end\n";

/* lane, after, until, limit. Answers {due of what is behind}, and of each: key, its due
 * time, address, token, start, tries. */
const char script_take[] =
    "#!lua flags=no-writes\n"
    BASE
    "local limit = tonumber(ARGV[4])\n"
    "local keys = call('ZRANGEBYSCORE', ARGV[1], '(' .. ARGV[2], ARGV[3],\n"
    "                  'WITHSCORES', 'LIMIT', 0, limit)\n"
    "local after = keys[#keys] or ARGV[2]\n"
    "local out = {'0'}\n"
    "for i = 1, #keys, 2 do\n"
    "  local e = next_of(read(keys[i]))\n"
    "  local t = call('HMGET', 'push:t:' .. keys[i], 'a', 'b')\n"
    "  if e and t[1] and t[2] then\n"
    "    out[#out + 1] = {keys[i], keys[i + 1], t[1], t[2], e[1], e[2]}\n"
    "  end\n"
    "end\n"
    "local behind = call('ZRANGEBYSCORE', ARGV[1], '(' .. after, '+inf',\n"
    "                    'WITHSCORES', 'LIMIT', 0, 1)\n"
    "out[1] = {behind[2] or '0', after}\n"
    "return out\n";

/* key, start, now. The oldest is the one that is done: for the phone they are alike. */
const char script_sent[] =
    FREES BASE
    "local list = read(ARGV[1])\n"
    "if not find(list, ARGV[2]) then return end\n"
    "local before = #list\n"
    "table.remove(list, 1)\n"
    "for i = 1, #list do list[i][3] = ARGV[3] end\n"
    "write(ARGV[1], call('HGET', 'push:t:' .. ARGV[1], 'a'), list, before)\n";

/* key, start, tries, due or '0', now. What came meanwhile is due now, not in the past
 * that the taker has left behind. */
const char script_failed[] =
    FREES BASE
    "local list = read(ARGV[1])\n"
    "local at = find(list, ARGV[2])\n"
    "if not at then return end\n"
    "local before = #list\n"
    "if ARGV[4] == '0' then\n"
    "  table.remove(list, at)\n"
    "else\n"
    "  list[at][2], list[at][3] = ARGV[3], ARGV[4]\n"
    "end\n"
    "for i = 1, #list do\n"
    "  if tonumber(list[i][3]) < tonumber(ARGV[5]) then list[i][3] = ARGV[5] end\n"
    "end\n"
    "write(ARGV[1], call('HGET', 'push:t:' .. ARGV[1], 'a'), list, before)\n";

/* key, start */
const char script_gone[] =
    FREES BASE
    "local list = read(ARGV[1])\n"
    "if not find(list, ARGV[2]) then return end\n"
    "write(ARGV[1], call('HGET', 'push:t:' .. ARGV[1], 'a'), {}, #list)\n";

/* addr */
const char script_forget[] =
    FREES BASE
    "for _, key in ipairs(call('SMEMBERS', 'push:a:' .. ARGV[1])) do\n"
    "  write(key, ARGV[1], {}, #read(key))\n"
    "end\n"
    "call('ZREM', 'push:lookup', ARGV[1])\n";

/* lane, limit, now. Answers how many were left out. */
const char script_hurry[] =
    FREES BASE
    "local keys = call('ZRANGEBYSCORE', ARGV[1], '(' .. ARGV[2], '+inf',\n"
    "                  'LIMIT', 0, 500)\n"
    "for _, key in ipairs(keys) do\n"
    "  local list = read(key)\n"
    "  for i = 1, #list do list[i][3] = ARGV[3] end\n"
    "  write(key, call('HGET', 'push:t:' .. key, 'a'), list, #list)\n"
    "end\n"
    "return call('ZCOUNT', ARGV[1], '(' .. ARGV[2], '+inf')\n";

/* wall clock in ms */
const char script_figures[] =
    FREES
    "redis.call('SET', 'push:last', ARGV[1], 'NX')\n"
    "local oldest = redis.call('ZRANGE', 'push:age', 0, 0, 'WITHSCORES')\n"
    "return {redis.call('GET', 'push:count') or '0', oldest[2] or '0',\n"
    "        redis.call('ZCARD', 'push:lookup'), redis.call('GET', 'push:last')}\n";
