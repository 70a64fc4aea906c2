// Every kind of finding that `larder check` can have, by its id: in reports for machines, and in `ignore_lint`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"

namespace larder::config {

/// "error", "warning" or "note": also SARIF's words.
std::string_view word(Severity severity) noexcept;

struct FindingKind {
    std::string_view id;
    Severity severity = Severity::error;  // as a rule; a finding may be less certain
    std::string_view text;                // what it finds
};

/// Errors first, then what the lint finds.
const std::vector<FindingKind>& finding_kinds();

/// Gives those that have no id this one: what a stage of the reading finds is of one kind.
void name_findings(std::vector<Message>& messages, std::string_view id);

/// The kinds as a Markdown table, for rules/README.md.
std::string findings_markdown();

}  // namespace larder::config
