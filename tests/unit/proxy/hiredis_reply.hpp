// What hiredis has read, as a Reply: the tests hold our reader against it, and talk to their servers through it.
#pragma once

#include <hiredis/hiredis.h>

#include "proxy/redis/reply.hpp"

namespace larder::proxy::test {

inline Reply to_reply(const redisReply& from)
{
    Reply reply;
    switch (from.type) {
    case REDIS_REPLY_STRING: reply.kind = Reply::Kind::text; break;
    case REDIS_REPLY_STATUS: reply.kind = Reply::Kind::status; break;
    case REDIS_REPLY_ERROR: reply.kind = Reply::Kind::error; break;
    case REDIS_REPLY_INTEGER: reply.kind = Reply::Kind::integer; break;
    case REDIS_REPLY_ARRAY: reply.kind = Reply::Kind::array; break;
    default: break;
    }
    if (from.type == REDIS_REPLY_INTEGER) reply.integer = from.integer;
    if (from.str) reply.text.assign(from.str, from.len);
    for (std::size_t i = 0; i < from.elements; ++i) reply.elements.push_back(to_reply(*from.element[i]));
    return reply;
}

}  // namespace larder::proxy::test
