#include "config/findings.hpp"

#include "rules/explain/lint.hpp"

namespace larder::config {

std::string_view word(Severity severity) noexcept
{
    switch (severity) {
    case Severity::error: return "error";
    case Severity::warning: return "warning";
    case Severity::note: return "note";
    }
    return "error";
}

const std::vector<FindingKind>& finding_kinds()
{
    static const std::vector<FindingKind> kinds = [] {
        std::vector<FindingKind> all{
            {"unreadable-file", Severity::error, "the file is not there, or may not be read"},
            {"syntax", Severity::error, "the file is no YAML, or more than one document"},
            {"variable", Severity::error, "`${VAR}` is not defined and has no default"},
            {"otel-variable", Severity::warning,
             "an `OTEL_…` variable of the environment cannot be used as it is; the text says what is used instead"},
            {"unknown-option", Severity::error, "a name that no option has, or that belongs elsewhere"},
            {"missing-option", Severity::error, "something that must be there is not"},
            {"bad-value", Severity::error, "a value that its option does not take"},
            {"bad-combination", Severity::error, "options that do not fit together"},
            {"no-rules", Severity::warning, "there are no rules, so nothing is cached"},
            {"unusual-method", Severity::warning, "a method in match that HTTP does not know"},
        };
        for (const rules::LintKind& lint : rules::lint_kinds())
            all.push_back(
                {lint.word, lint.level == rules::LintLevel::warning ? Severity::warning : Severity::note, lint.text});
        return all;
    }();
    return kinds;
}

void name_findings(std::vector<Message>& messages, std::string_view id)
{
    for (Message& message : messages)
        if (message.id.empty()) message.id = id;
}

std::string findings_markdown()
{
    std::string out = "| Id | Level | Finds |\n| --- | --- | --- |\n";
    for (const FindingKind& kind : finding_kinds())
        out += "| `" + std::string(kind.id) + "` | " + std::string(word(kind.severity)) + " | " +
               std::string(kind.text) + " |\n";
    return out;
}

}  // namespace larder::config
