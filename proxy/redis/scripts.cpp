#include "proxy/redis/scripts.hpp"

#include <openssl/sha.h>

namespace larder::proxy {

using rules::Result;

namespace {

// Shared by `purge` and `init`. Positions are microseconds, 16 digits: exact in Lua's doubles until 2255.
constexpr std::string_view append_text = R"lua(
-- The next position rises strictly. When the counter is lost, what is left of the log says how far it had come.
local function next_position(q, s, p)
  local previous = tonumber(redis.call('GET', q) or '')
  local last = previous or 0
  if not previous then
    local top = redis.call('XREVRANGE', s, '+', '-', 'COUNT', 1)[1]
    if top then last = tonumber(string.match(top[1], '^%d+')) end
    local highest = redis.call('ZREVRANGE', p, 0, 0, 'WITHSCORES')[2]
    if highest then last = math.max(last, tonumber(highest)) end
  end
  local time = redis.call('TIME')
  return previous or 0, math.max(last + 1, time[1] * 1000000 + time[2])
end

-- Appends a record. Records older than `retain` ms go; readers notice by the broken chain.
local function append(q, s, p, retain, fields)
  for try = 1, 2 do
    local previous, position = next_position(q, s, p)
    previous, position = string.format('%.0f', previous), string.format('%.0f', position)
    local oldest = string.format('%.0f', math.max(0, tonumber(position) - retain * 1000))
    local reply = redis.pcall('XADD', s, 'MINID', '~', oldest, position .. '-0', 'v', previous, unpack(fields))
    if type(reply) == 'table' and reply.err then
      -- Somebody has set the counter back: forget it, and take the stream's word.
      if try == 2 or not string.find(reply.err, 'equal or smaller', 1, true) then return nil, nil, reply end
      redis.call('UNLINK', q)
    else
      redis.call('SET', q, position)
      return previous, position
    end
  end
end
)lua";

constexpr std::string_view purge_text = R"lua(
local q, s, p = KEYS[1], KEYS[2], KEYS[3]
local retain, max_records, max_patterns, patterns = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])

local fields = {'t', ARGV[1], 'w', ARGV[2], 'x', ARGV[3]}
for i = 8 + patterns, #ARGV do
  fields[#fields + 1] = 'k'
  fields[#fields + 1] = ARGV[i]
end
for i = 8, 7 + patterns do
  fields[#fields + 1] = 'p'
  fields[#fields + 1] = ARGV[i]
end
local previous, position, failure = append(q, s, p, retain, fields)
if failure then return failure end
redis.call('XTRIM', s, 'MAXLEN', '~', max_records)

if patterns > 0 then
  local scored = {}
  for i = 8, 7 + patterns do
    scored[#scored + 1] = position
    scored[#scored + 1] = 'p' .. ARGV[i]
  end
  redis.call('ZADD', p, unpack(scored))
  -- Over the cap: the oldest tenth is forgotten, and nothing as old as that is trusted any more.
  if redis.call('ZCARD', p) > max_patterns then
    -- Two more than that: the floor and the run id come first.
    local popped = redis.call('ZPOPMIN', p, math.ceil(max_patterns / 10) + 2)
    local floor, kept = 0, {}
    for i = 1, #popped, 2 do
      local kind = string.sub(popped[i], 1, 1)
      if kind == 'r' then
        kept[#kept + 1] = popped[i + 1]
        kept[#kept + 1] = popped[i]
      else
        floor = math.max(floor, tonumber(popped[i + 1]))
      end
    end
    local old = tonumber(redis.call('ZSCORE', p, 'f') or '') or 0
    kept[#kept + 1] = string.format('%.0f', math.max(floor, old))
    kept[#kept + 1] = 'f'
    redis.call('ZADD', p, unpack(kept))
  end
end
if #KEYS > 3 then redis.call('UNLINK', unpack(KEYS, 4)) end
return {previous, position}
)lua";

constexpr std::string_view store_text = R"lua(
local entry, new, q, s, lease = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local token, owner = ARGV[1], ARGV[2]

local now = redis.call('MGET', q, lease)
local position, holder = now[1], now[2]
if owner ~= '' and holder == owner then redis.call('UNLINK', lease) end

local function store()
  local moved = redis.pcall('RENAME', new, entry)
  if moved.err then
    -- Refused, evicted or at the end of its life before we came.
    if string.find(moved.err, 'no such key', 1, true) then return 'gone' end
    return moved
  end
  if holder and string.sub(holder, 1, 2) == 'U ' then redis.call('UNLINK', lease) end
  return position
end

-- Nearly always the sender has seen the whole log, and this is all there is to do: Redis serves many, so it is short.
if position == token then return store() end

local function refuse(why)
  redis.call('UNLINK', new)
  return why
end

if not position then return refuse('nolog') end

local key, brief = ARGV[3], ARGV[4]
local groups = {}
for i = 5, #ARGV do groups[ARGV[i]] = true end

-- '*' any bytes, '?' one byte, '\' escapes the next: the same as rules/pattern.
local function matches(pattern, key)
  local byte = string.byte
  local i, j, star, mark = 1, 1, nil, nil
  local pattern_end, key_end = #pattern, #key
  while j <= key_end do
    local c = byte(pattern, i)
    if c == 42 then
      star, mark = i, j
      i = i + 1
    elseif c == 63 then
      i, j = i + 1, j + 1
    else
      local width = 1
      if c == 92 and i < pattern_end then c, width = byte(pattern, i + 1), 2 end
      if c == byte(key, j) then
        i, j = i + width, j + 1
      elseif star then
        mark = mark + 1
        i, j = star + 1, mark
      else
        return false
      end
    end
  end
  while byte(pattern, i) == 42 do i = i + 1 end
  return i > pattern_end
end

-- What the sender has not seen. Far behind, it had better look at the log itself: Redis stands still meanwhile.
local records = redis.call('XRANGE', s, '(' .. token .. '-0', '+', 'COUNT', 1001)
if #records > 1000 then return refuse('gap') end
local at, fenced = token, false
for _, record in ipairs(records) do
  local fields = record[2]
  if fields[1] ~= 'v' or fields[2] ~= at or fields[3] ~= 't' or fields[4] == 'I' then return refuse('gap') end
  at = string.match(record[1], '^%d+')
  for i = 5, #fields, 2 do
    local name, text = fields[i], fields[i + 1]
    if (name == 'k' and (text == brief or text == key)) or (name == 'p' and (groups[text] or matches(text, key))) then
      fenced = true
    end
  end
end
if at ~= position then return refuse('gap') end
if fenced then return refuse('fenced') end
-- An entry from the future is not ours: it would keep every later one out.
local present = redis.pcall('GETRANGE', entry, '0', '15')
present = type(present) == 'string' and tonumber(present) or 0
if present > tonumber(token) and present <= tonumber(position) then return refuse('newer') end
return store()
)lua";

constexpr std::string_view init_text = R"lua(
local q, s, p, conf = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local run, retain, layout = ARGV[1], tonumber(ARGV[2]), ARGV[3]

-- A process that cuts the keys into another number of shards would append its purges where nobody here looks for them.
local written = redis.call('GET', conf)
if not written then
  redis.call('SET', conf, layout)
elseif written ~= layout then
  return {'0', '0', 0, written}
end

local position = redis.call('GET', q)
local floor = redis.call('ZSCORE', p, 'f')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local known
if run ~= '' then
  known = redis.call('ZSCORE', p, 'r' .. run)
else
  -- The server hides who it is: each connection may be to another one. At most one raise in 5 s.
  known = floor and now - tonumber(floor) < 5000000
end
local raised = 0
if not (tonumber(position or '') and floor and known) then
  local _, new, failure = append(q, s, p, retain, {'t', 'I', 'w', '', 'x', '0'})
  if failure then return failure end
  redis.call('UNLINK', p)
  redis.call('ZADD', p, new, 'f')
  if run ~= '' then redis.call('ZADD', p, new, 'r' .. run) end
  position, raised = new, 1
end
return {position, string.format('%.0f', now), raised, layout}
)lua";

// In the lease's key stands its owner, or "U <until> <why>": the last answer could not be stored, nobody need wait. The
// counter comes with each answer: a record since the miss makes the fetch one that cannot be stored.
constexpr std::string_view lease_text = R"lua(
local entry, q, lease = KEYS[1], KEYS[2], KEYS[3]
local owner, life, seen, doomed = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local head = redis.pcall('GETRANGE', entry, '0', '127')
local stored = type(head) == 'string' and string.match(head, ' stored=0*(%d+)')
local position = redis.pcall('GET', q)
if type(position) ~= 'string' then position = '0' end
local holder = redis.pcall('GET', lease)
if stored and stored ~= seen then
  if holder == owner then redis.call('UNLINK', lease) end
  return {'stored', position, stored}
end
if type(holder) == 'string' and holder ~= owner and (doomed == '' or holder ~= doomed) then
  local till, why = string.match(holder, '^U (%d+) (.*)$')
  if not till then return {'taken', position, holder} end
  local time = redis.call('TIME')
  local left = math.max(1, tonumber(till) - time[1] * 1000 - math.floor(time[2] / 1000))
  return {'uncacheable', position, string.format('%.0f', left), why}
end
redis.call('SET', lease, owner, 'PX', life)
return {'ours', position}
)lua";

constexpr std::string_view release_text = R"lua(
local lease = KEYS[1]
local owner, why, life = ARGV[1], ARGV[2], tonumber(ARGV[3])
if why ~= '' then
  local time = redis.call('TIME')
  local till = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + life)
  redis.call('SET', lease, 'U ' .. till .. ' ' .. why, 'PX', life)
  return 1
end
local holder = redis.pcall('GET', lease)
if type(holder) ~= 'string' then return 0 end
local ours = owner ~= '' and holder == owner
if owner == 'U' then ours = string.sub(holder, 1, 2) == 'U ' end
if not ours then return 0 end
return redis.call('UNLINK', lease)
)lua";

}  // namespace

Script::Script(std::string text, StoreOperation operation) : text_(std::move(text)), operation_(operation)
{
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1(reinterpret_cast<const unsigned char*>(text_.data()), text_.size(), digest);
    for (const unsigned char byte : digest) {
        sha1_ += "0123456789abcdef"[byte >> 4];
        sha1_ += "0123456789abcdef"[byte & 15];
    }
}

const Script& purge_script()
{
    static const Script script(std::string(append_text).append(purge_text), StoreOperation::purge);
    return script;
}

const Script& store_script()
{
    static const Script script{std::string(store_text), StoreOperation::put};
    return script;
}

const Script& init_script()
{
    static const Script script(std::string(append_text).append(init_text), StoreOperation::log);
    return script;
}

const Script& lease_script()
{
    static const Script script{std::string(lease_text), StoreOperation::lease};
    return script;
}

const Script& release_script()
{
    static const Script script{std::string(release_text), StoreOperation::lease};
    return script;
}

bool ScriptCall::send()
{
    Arguments args;
    args.push_back(with_text_ ? "EVAL" : "EVALSHA");
    args.push_back(with_text_ ? script_.text() : script_.sha1());
    add_arguments(args);
    Arguments first;
    if (!with_text_) add_first(first);
    return first.empty() ? link_.send(*this, args) : link_.send_all(*this, {first, args});
}

void ScriptCall::complete(Result<Reply>&& reply)
{
    if (reply && reply->is_error() && reply->text.starts_with("NOSCRIPT") && !with_text_) {
        with_text_ = true;
        if (send()) return;
        return on_reply(link_.send_error());
    }
    if (reply && reply->is_error()) return on_reply(rules::Errc::store_refused);
    on_reply(std::move(reply));
}

namespace {

class AwaitedCall final : public AnsweredCall<Result<Reply>> {
  public:
    AwaitedCall(Link& link, const Script& script, const std::vector<std::string_view>& args,
                Completion<Result<Reply>>& done)
        : AnsweredCall(link, script, done), args_(args)
    {
    }

  private:
    void add_arguments(Arguments& args) override { args.insert(args.end(), args_.begin(), args_.end()); }
    Result<Reply> understand(Result<Reply>&& reply) override { return std::move(reply); }

    const std::vector<std::string_view> args_;
};

}  // namespace

asio::awaitable<Result<Reply>> run_script(Link& link, const Script& script, std::vector<std::string_view> args)
{
    auto begin = [&link, &script, args = std::move(args)](Completion<Result<Reply>>& done) {
        return AwaitedCall::begin(std::make_unique<AwaitedCall>(link, script, args, done));
    };
    auto otherwise = [&link] { return Result<Reply>(link.send_error()); };
    return await_completion<Result<Reply>>(link.context(), std::move(begin), std::move(otherwise));
}

}  // namespace larder::proxy
