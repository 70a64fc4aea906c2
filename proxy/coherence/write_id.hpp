// Names of writes in the purge log: "<replica>-<n>/<rule>", where the rule is the purge rule that opens the mark, so
// that every replica can say whose writes keep its readers from the cache. A write of more than one record adds
// "#<part>".
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace larder::proxy {

/// Unlike that of any other process. Thread-safe.
/// @param rule  may be empty
std::string next_write_id(std::string_view rule = {});
/// The id of a further record of the same write.
std::string write_id_of_part(std::string_view write_id, std::size_t part);
/// Empty: the id names none (of an older version, or foreign).
std::string_view rule_of_write(std::string_view write_id) noexcept;

}  // namespace larder::proxy
