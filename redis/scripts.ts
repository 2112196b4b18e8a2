/** A Lua script: it runs as a whole, by the clock of Redis. */
export class Script {
  readonly code: string;
  #sha: Promise<string> | undefined;

  constructor(code: string) {
    this.code = code;
  }

  /** Its name in the cache of Redis. */
  get sha(): Promise<string> {
    return this.#sha ??= sha1(this.code);
  }
}

const CLOCK = `
local time = redis.call("TIME")
local us = time[1] * 1000000 + time[2]
local now = math.floor(us / 1000)
local function exact(number) return string.format("%.0f", number) end
`;

const HOLD = `
local function hold(key, id, ttl)
  redis.call("ZADD", key, exact(now + ttl), id)
  redis.call("PEXPIREAT", key, redis.call("ZRANGE", key, -1, -1, "WITHSCORES")[2])
end
`;

/**
 * Suspensions: `KEYS[1]` has them by their end in milliseconds, below zero if they were ended before, so that who does not
 * know is told; `KEYS[2]` has them by the microsecond of their last change, each later than the one before. `ARGV`: the
 * cursor, then a suspension and its milliseconds for each change. Gives the cursor, then each suspension that others
 * changed and the milliseconds that are left.
 */
export const EXCHANGE: Script = new Script(`${CLOCK}
for _, it in ipairs(redis.call("ZRANGEBYSCORE", KEYS[1], exact(-now), exact(now))) do
  redis.call("ZREM", KEYS[1], it)
  redis.call("ZREM", KEYS[2], it)
end
local last = tonumber(redis.call("ZRANGE", KEYS[2], -1, -1, "WITHSCORES")[2] or 0)
local own = {}
for i = 2, #ARGV, 2 do
  local it, ms = ARGV[i], tonumber(ARGV[i + 1])
  local before = tonumber(redis.call("ZSCORE", KEYS[1], it) or 0)
  local after = ms > 0 and math.max(before, now + ms) or -math.abs(before)
  if after ~= before then
    last = math.max(last + 1, us)
    redis.call("ZADD", KEYS[1], exact(after), it)
    redis.call("ZADD", KEYS[2], exact(last), it)
    own[it] = true
  end
end
if next(own) then
  local first = redis.call("ZRANGE", KEYS[1], 0, 0, "WITHSCORES")[2]
  local latest = redis.call("ZRANGE", KEYS[1], -1, -1, "WITHSCORES")[2]
  local over = exact(math.max(-first, tonumber(latest)))
  redis.call("PEXPIREAT", KEYS[1], over)
  redis.call("PEXPIREAT", KEYS[2], over)
end
local cursor = tonumber(ARGV[1])
if cursor > math.max(last, us) then cursor = 0 end -- of a clock that was set back, or of another server
local found = { exact(math.max(cursor, last, 1)) }
for _, it in ipairs(redis.call("ZRANGEBYSCORE", KEYS[2], "(" .. exact(cursor), "+inf")) do
  local ends = tonumber(redis.call("ZSCORE", KEYS[1], it) or 0)
  if not own[it] and (ends > 0 or ARGV[1] ~= "0") then
    found[#found + 1] = it
    found[#found + 1] = exact(math.max(0, ends - now))
  end
end
return found
`);

/** Takes a lease of `KEYS[1]`. `ARGV`: its id, the limit, its milliseconds. Gives 1, or 0 if all are taken. */
export const ACQUIRE: Script = new Script(`${CLOCK}${HOLD}
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", exact(now))
if not redis.call("ZSCORE", KEYS[1], ARGV[1]) and redis.call("ZCARD", KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
hold(KEYS[1], ARGV[1], ARGV[3])
return 1
`);

/** Holds a lease of each key. `ARGV`: its id for each, then the milliseconds. */
export const RENEW: Script = new Script(`${CLOCK}${HOLD}
for i = 1, #KEYS do hold(KEYS[i], ARGV[i], ARGV[#ARGV]) end
`);

/** Gives a lease of each key back. `ARGV`: its id for each. */
export const RELEASE: Script = new Script(`
for i = 1, #KEYS do redis.call("ZREM", KEYS[i], ARGV[i]) end
`);

async function sha1(text: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-1", new TextEncoder().encode(text)));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
