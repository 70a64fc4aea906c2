#include "config/report.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>

#include "config/findings.hpp"
#include "rules/base/text.hpp"
#include "rules/base/utf8.hpp"

namespace larder::config {
namespace {

namespace json = boost::json;

std::string count_of(std::size_t count, const std::string& what)
{
    return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

std::string write_text(const std::vector<CheckedFile>& files)
{
    std::string out;
    for (const CheckedFile& file : files)
        for (const Message& message : file.messages) (out += message.to_string(file.name)) += '\n';
    const FindingCounts counts = count_findings(files);
    out += count_of(files.size(), "file") + ": " + count_of(counts.errors, "error") + ", " +
           count_of(counts.warnings, "warning");
    if (counts.notes > 0) out += ", " + count_of(counts.notes, "note");
    return out += '\n';
}

using rules::valid_utf8;

std::string write_json(const std::vector<CheckedFile>& files)
{
    json::array all;
    for (const CheckedFile& file : files) {
        json::array findings;
        for (const Message& message : file.messages) {
            json::object finding{{"id", message.id},
                                 {"level", word(message.severity)},
                                 {"line", message.place.line},
                                 {"column", message.place.column},
                                 {"message", valid_utf8(message.text)}};
            if (!message.rule.empty()) finding["rule"] = message.rule;
            findings.push_back(std::move(finding));
        }
        all.push_back(json::object{{"file", valid_utf8(file.name)}, {"findings", std::move(findings)}});
    }
    const FindingCounts counts = count_findings(files);
    return json::serialize(json::object{{"files", std::move(all)},
                                        {"errors", counts.errors},
                                        {"warnings", counts.warnings},
                                        {"notes", counts.notes}}) +
           '\n';
}

// A path as a URI reference (RFC 3986): what is no unreserved character is percent-encoded.
std::string uri_of(const std::string& path)
{
    constexpr std::string_view hex = "0123456789ABCDEF", plain = "-._~/";
    std::string uri;
    for (const char c : path) {
        const auto byte = static_cast<unsigned char>(c);
        if (rules::is_alpha(c) || rules::is_digit(c) || plain.find(c) != std::string_view::npos)
            uri += c;
        else
            ((uri += '%') += hex[byte >> 4]) += hex[byte & 15];
    }
    return uri;
}

std::string file_uri(const std::string& name, std::string_view folder)
{
    const std::filesystem::path base = std::filesystem::path(folder).lexically_normal();
    const std::filesystem::path file = (base / name).lexically_normal();
    const std::filesystem::path relative = file.lexically_relative(base);
    const bool is_below = !relative.empty() && *relative.begin() != ".." && relative != ".";
    return is_below ? uri_of(relative.generic_string()) : "file://" + uri_of(file.generic_string());
}

json::array sarif_rules()
{
    json::array rules;
    for (const FindingKind& kind : finding_kinds()) {
        const bool can_be_meant = kind.id.find("unusual") == std::string_view::npos && kind.id != "no-rules";
        std::string help(kind.text);
        if (kind.severity != Severity::error && can_be_meant)
            help += ". Where it is meant, write into the rule: ignore_lint: [" + std::string(kind.id) + "]";
        rules.push_back(json::object{{"id", kind.id},
                                     {"shortDescription", json::object{{"text", kind.text}}},
                                     {"help", json::object{{"text", std::move(help)}}},
                                     {"defaultConfiguration", json::object{{"level", word(kind.severity)}}}});
    }
    return rules;
}

json::object sarif_result(const Message& message, const std::string& uri)
{
    json::object physical{{"artifactLocation", json::object{{"uri", uri}}}};
    if (message.place.line > 0) {
        json::object region{{"startLine", message.place.line}};
        if (message.place.column > 0) region["startColumn"] = message.place.column;
        physical["region"] = std::move(region);
    }
    const auto& kinds = finding_kinds();
    const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const auto& one) { return one.id == message.id; });
    json::object result{{"ruleId", message.id},
                        {"level", word(message.severity)},
                        {"message", json::object{{"text", valid_utf8(message.text)}}},
                        {"locations", json::array{json::object{{"physicalLocation", std::move(physical)}}}}};
    if (kind != kinds.end()) result["ruleIndex"] = kind - kinds.begin();
    return result;
}

std::string write_sarif(const std::vector<CheckedFile>& files, std::string_view folder)
{
    json::array results;
    for (const CheckedFile& file : files) {
        const std::string uri = file_uri(file.name, folder);
        for (const Message& message : file.messages) results.push_back(sarif_result(message, uri));
    }
    const json::object driver{{"name", "larder"}, {"semanticVersion", LARDER_VERSION}, {"rules", sarif_rules()}};
    const json::object run{{"tool", json::object{{"driver", driver}}}, {"results", std::move(results)}};
    const json::object log{
        {"$schema", "https://json.schemastore.org/sarif-2.1.0.json"}, {"version", "2.1.0"}, {"runs", json::array{run}}};
    return json::serialize(log) + '\n';
}

}  // namespace

FindingCounts count_findings(const std::vector<CheckedFile>& files) noexcept
{
    FindingCounts counts;
    for (const CheckedFile& file : files) {
        for (const Message& message : file.messages) {
            switch (message.severity) {
            case Severity::error: ++counts.errors; break;
            case Severity::warning: ++counts.warnings; break;
            case Severity::note: ++counts.notes; break;
            }
        }
    }
    return counts;
}

std::optional<ReportFormat> report_format_of(std::string_view name) noexcept
{
    if (name == "text") return ReportFormat::text;
    if (name == "json") return ReportFormat::json;
    if (name == "sarif") return ReportFormat::sarif;
    return std::nullopt;
}

std::string write_report(ReportFormat format, const std::vector<CheckedFile>& files, std::string_view folder)
{
    switch (format) {
    case ReportFormat::text: return write_text(files);
    case ReportFormat::json: return write_json(files);
    case ReportFormat::sarif: return write_sarif(files, folder);
    }
    return {};
}

}  // namespace larder::config
