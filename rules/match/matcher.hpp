// Finds the rules of a request by a tree of path segments: the cost depends on the path, not on the number of rules.
#pragma once

#include <boost/container/static_vector.hpp>
#include <memory>
#include <string_view>
#include <vector>

#include "rules/base/text.hpp"
#include "rules/match/rule.hpp"

namespace larder::rules {

inline constexpr std::size_t max_path_values = 16;

/// What a rule's `{name}` segments stand for. Views into the normalised path (still percent-encoded where it was).
class PathValues {
  public:
    void add(std::string_view name, std::string_view value) noexcept
    {
        if (values_.size() < max_path_values) values_.emplace_back(name, value);
    }
    void clear() noexcept { values_.clear(); }
    /// Empty optional: the rule has no such value, or an optional one is absent.
    std::optional<std::string_view> find(std::string_view name) const noexcept
    {
        for (const auto& [known, value] : values_)
            if (same_text(known, name)) return value;
        return std::nullopt;
    }

  private:
    // No bytes are touched but those in use: every hit makes one.
    boost::container::static_vector<std::pair<std::string_view, std::string_view>, max_path_values> values_;
};

/// A request as the rules see it. Views only; lives as long as the head it was made from.
struct RequestView {
    RequestView() = default;
    RequestView(const RequestHead* of, std::string_view normal_path, std::string_view of_host)
        : head(of), path(normal_path), host(of_host), fields(of->fields.ids())
    {
    }

    const RequestHead* head = nullptr;
    std::string_view path;  // normalised
    std::string_view host;  // as received; compared without case and port
    FieldSet fields;        // those of the head
};

struct Matched {
    const Rule* rule = nullptr;  // null: none
    PathValues values;
};

/// A cache rule takes the slash at the end of a path as it is written: "/events" and "/events/" are two resources,
/// often one a redirect to the other. A purge rule takes both, because most frameworks lead both to one handler, and a
/// write that slips by would leave stale answers. `{name}` takes one segment that is not empty, `{name?}` one or none,
/// `{rest*}` everything after the slash before it, maybe nothing ("/files/", but "/files" in purge rules only).
/// Literals are compared with case, in the path's normal form. HEAD matches where GET does. Hosts are compared without
/// case, port and final dot. A header or query condition holds when any line or parameter of that name fits.
class Matcher {
  public:
    /// The rules must outlive the matcher and not move.
    explicit Matcher(const std::vector<Rule>& rules);
    ~Matcher();
    Matcher(Matcher&&) noexcept;
    Matcher& operator=(Matcher&&) noexcept;

    /// The cost grows with the path, not with the rules; only rules with the same path and host are tried one by one.
    /// The first cache rule in file order that matches. A HEAD request is matched as a GET.
    Matched match_cache(const RequestView& request) const;
    /// Every cache rule that a GET of this target can meet, whatever its header fields; in file order. Appends to
    /// `found`.
    void match_target(const RequestView& target, std::vector<Matched>& found) const;
    /// Every purge rule that matches, in file order. Appends to `found`.
    void match_purge(const RequestView& request, std::vector<Matched>& found) const;

  private:
    struct Tree;
    std::unique_ptr<Tree> tree_;
};

}  // namespace larder::rules
