// Names that several responses share, so that one purge takes them all: cache groups (RFC 9875) and, where a rule says
// `tags: response`, the tags of Surrogate-Key, Cache-Tag and xkey. An entry keeps its names; a purge is a record of the
// log like any other.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rules/key/cache_key.hpp"

namespace larder::rules {

/// The names of a response's groups as they stand in the purge log. No key and no rule's pattern looks like one: they
/// begin with "{".
/// @param host  of the request: a cache group belongs to one origin (RFC 9875 §2.1)
/// @param tags  take Surrogate-Key, Cache-Tag and xkey too; these belong to no origin
/// A `Cache-Groups` that cannot be parsed says nothing.
std::vector<std::string> groups_of(const Fields& response, std::string_view host, bool tags);

/// What the response to a write voids by `Cache-Group-Invalidation` (RFC 9875 §3), and by its tags. Appends what is not
/// there yet.
void append_group_targets(std::vector<PurgeTarget>& targets, const Fields& response, std::string_view host, bool tags);

/// The name of a tag, for a purge by hand.
std::string tag_name(std::string_view tag);
bool is_tag_name(std::string_view name) noexcept;

}  // namespace larder::rules
