// What stands in the purge log, as values: a record, where it was put, and all that the log remembers.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "rules/base/time.hpp"

namespace larder::proxy {

using rules::Position;

enum class RecordType : char {
    prepare = 'P',  // opens the mark of a write
    commit = 'C',   // closes it; with a life: keeps it open that much longer (settle)
    single = 'A',   // one purge without a mark: fence: after, admin
    init = 'I',     // the floor was raised: resync
};

struct Record {
    Position previous = 0;  // position of the record before: the log is a chain
    Position position = 0;
    RecordType type = RecordType::single;
    std::string write_id;  // as in write_id.hpp; empty for single and init
    rules::Milliseconds life{0};
    std::vector<std::string> keys;      // exact, as `key_in_log` (log_names.hpp) names them
    std::vector<std::string> patterns;  // as `pattern_in_log` does
};

/// What a record takes in memory, nearly.
inline std::size_t bytes_of(const Record& record) noexcept
{
    std::size_t bytes = sizeof(Record) + record.write_id.size();
    for (const auto* texts : {&record.keys, &record.patterns})
        for (const std::string& text : *texts) bytes += sizeof(std::string) + text.size();
    return bytes;
}

/// What a replica starts from: everything the log remembers.
struct LogSnapshot {
    std::string run_id;     // of the server; "local" for the in-process log
    Position position = 0;  // records after this one are still to come by `records_after`
    Position floor = 0;     // nothing older is trusted
    std::vector<std::pair<std::string, Position>> patterns;  // long memory: last position of each pattern
    bool raised = false;                                     // the floor, by this very call
    std::vector<Record> recent;                              // of the last mark life, for the open marks
};

struct Appended {
    Position previous = 0;
    Position position = 0;
};

}  // namespace larder::proxy
