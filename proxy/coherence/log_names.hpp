// How keys and patterns stand in the purge log. What is purged is partly a client's to say: nothing in a record is
// longer than `BriefKey::longest`, so that log and replicas, which are bounded by number, are bounded by bytes too.
#pragma once

#include <string>
#include <string_view>

#include "proxy/coherence/record.hpp"

namespace larder::proxy {

/// A long key stands as its digest. Who compares takes `BriefKey` of his key.
std::string key_in_log(std::string_view key);

/// A long pattern is widened, which purges more and never less. One without a wildcard, as groups are, stands as the
/// digest of its text: groups are compared by their whole name.
std::string pattern_in_log(std::string_view pattern);

/// The same for all of a record: one of an older version, or of a foreign writer.
void name_as_in_log(Record& record);

}  // namespace larder::proxy
