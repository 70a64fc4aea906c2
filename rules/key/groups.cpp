#include "rules/key/groups.hpp"

#include <algorithm>
#include <unordered_set>

#include "rules/base/text.hpp"
#include "rules/http/fields.hpp"
#include "rules/http/structured.hpp"
#include "rules/pattern/pattern.hpp"

namespace larder::rules {

namespace {

constexpr std::string_view tag_mark = "{tag}";

std::string group_name(std::string_view host, std::string_view group)
{
    std::string name = "{group}";
    append_key_host(name, host);
    name += ':';
    append_key_value(name, group);
    return name;
}

/// In the order in which they come, none twice. A head has room for thousands.
class Names {
  public:
    void add(std::string name)
    {
        if (seen_.insert(name).second) all_.push_back(std::move(name));
    }
    std::vector<std::string> take() { return std::move(all_); }

  private:
    std::vector<std::string> all_;
    std::unordered_set<std::string> seen_;
};

/// A List of Strings (RFC 9875 §2, §3); members of another type make the field invalid.
void add_groups(Names& names, const Fields& fields, FieldId id, std::string_view host)
{
    if (!fields.has(id)) return;
    const auto list = parse_structured_list(combined_value(fields, id));
    if (!list) return;
    const bool strings_only = std::all_of(list->begin(), list->end(), [](const StructuredMember& member) {
        return !member.is_inner_list && member.value.kind == BareItem::Kind::string;
    });
    if (!strings_only) return;
    for (const StructuredMember& member : *list) names.add(group_name(host, member.value.text));
}

/// Products separate them by spaces (Surrogate-Key, xkey) or commas (Cache-Tag): none allows either in a tag.
void add_tags(Names& names, const Fields& fields)
{
    constexpr std::string_view separators = " \t,";
    for (const Field& field : fields.all) {
        if (field.id != FieldId::surrogate_key && field.id != FieldId::cache_tag && field.id != FieldId::xkey) continue;
        std::string_view rest = field.value;
        while (!rest.empty()) {
            const std::size_t end = std::min(rest.find_first_of(separators), rest.size());
            if (end > 0) names.add(tag_name(rest.substr(0, end)));
            rest.remove_prefix(std::min(end + 1, rest.size()));
        }
    }
}

}  // namespace

bool is_tag_name(std::string_view name) noexcept { return name.starts_with(tag_mark); }

std::string tag_name(std::string_view tag)
{
    std::string name{tag_mark};
    append_key_value(name, tag);
    return name;
}

std::vector<std::string> groups_of(const Fields& response, std::string_view host, bool tags)
{
    if (!response.ids().has_any({FieldId::cache_groups, FieldId::surrogate_key, FieldId::cache_tag, FieldId::xkey}))
        return {};
    Names names;
    add_groups(names, response, FieldId::cache_groups, host);
    if (tags) add_tags(names, response);
    return names.take();
}

void append_group_targets(std::vector<PurgeTarget>& targets, const Fields& response, std::string_view host, bool tags)
{
    Names names;
    add_groups(names, response, FieldId::cache_group_invalidation, host);
    if (tags) add_tags(names, response);
    const auto before = static_cast<std::ptrdiff_t>(targets.size());
    for (std::string& name : names.take()) {
        const auto is_same = [&](const PurgeTarget& target) { return !target.exact && target.text == name; };
        if (std::none_of(targets.begin(), targets.begin() + before, is_same))
            targets.push_back({std::move(name), false, false});
    }
}

}  // namespace larder::rules
