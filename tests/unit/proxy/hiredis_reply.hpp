// What was read in other ways, as a Reply: by hiredis, which the tests hold our reader against and through which they
// talk to their servers, and where it stands.
#pragma once

#include <hiredis/hiredis.h>

#include <optional>
#include <span>
#include <string_view>

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

/// What `ReplyReader::next_texts` gave.
inline Reply to_reply(std::span<const std::optional<std::string_view>> texts)
{
    Reply array;
    array.kind = Reply::Kind::array;
    for (const auto& text : texts) {
        Reply& element = array.elements.emplace_back();
        if (!text) continue;
        element.kind = Reply::Kind::text;
        element.text = *text;
    }
    return array;
}

}  // namespace larder::proxy::test
