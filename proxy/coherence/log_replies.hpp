// What Redis says about the log, read: records of the stream, lines of INFO. Sans-I/O, for redis_log.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "proxy/coherence/record.hpp"
#include "proxy/redis/reply.hpp"

namespace larder::proxy {

/// One element of XRANGE: {id, {v previous t type w id x life, k key | p pattern ...}}. Takes the texts out of it.
/// Empty: not understood.
std::optional<Record> parse_record(Reply& reply);

/// The value behind `field`, its colon included, in the answer to INFO; empty: there is no such line.
std::string info_field(std::string_view text, std::string_view field);

}  // namespace larder::proxy
