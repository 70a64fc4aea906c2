// What `larder check` has found, as people and programs want it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"

namespace larder::config {

struct CheckedFile {
    std::string name;  // as it was given
    std::vector<Message> messages;
};

struct FindingCounts {
    std::size_t errors = 0, warnings = 0, notes = 0;
};
FindingCounts count_findings(const std::vector<CheckedFile>& files) noexcept;

/// `text`: a line each, and one with the counts. `json`: one document. `sarif`: SARIF 2.1.0, one run, for code
/// scanning.
enum class ReportFormat : std::uint8_t { text, json, sarif };
/// Empty: there is no such format.
std::optional<ReportFormat> report_format_of(std::string_view word) noexcept;

/// @param folder  absolute: SARIF names files below it relative to it, as code scanning wants them
std::string write_report(ReportFormat format, const std::vector<CheckedFile>& files, std::string_view folder);

}  // namespace larder::config
