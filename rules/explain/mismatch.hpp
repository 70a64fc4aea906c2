// Why a rule does not match a request, for people. Whether it does is always asked of the matcher.
#pragma once

#include <string>

#include "rules/match/matcher.hpp"

namespace larder::rules {

/// One thing that keeps the rule from matching: method, host, path, query, header, in this order. Empty: it matches.
std::string mismatch(const Rule& rule, const RequestView& request);

/// So many segments of the path fit the rule's from the left, one more for its end: how near it was.
std::size_t nearness(const Rule& rule, std::string_view path) noexcept;

/// "GET|HEAD shop.test/api/{id}"
std::string match_text(const Match& match);

}  // namespace larder::rules
