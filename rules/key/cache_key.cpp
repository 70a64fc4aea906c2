#include "rules/key/cache_key.hpp"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <span>
#include <utility>

#include "rules/base/appender.hpp"
#include "rules/base/text.hpp"
#include "rules/http/target.hpp"
#include "rules/pattern/pattern.hpp"

namespace larder::rules {

namespace {

const Template& key_of(const Rule& rule) { return rule.key ? *rule.key : default_key(); }

void append_decoded(std::string& out, std::string_view path_text)
{
    if (plain_prefix(path_text) == path_text.size())
        out += path_text;
    else if (path_text.find('%') == std::string_view::npos)
        append_key_value(out, path_text);
    else
        append_key_value(out, percent_decode(path_text));
}

/// Calls `visit` with the value of each field line of that name.
template <class Visit>
void for_each_header(const Fields& fields, std::string_view name, Visit visit)
{
    for (const Field& field : fields.all)
        if (equals_ignoring_case(field.name, name)) visit(trim(field.value));
}

/// Calls `visit` with the value of each cookie of that name, in every `Cookie` line (RFC 6265 §4.2.1).
template <class Visit>
void for_each_cookie(const Fields& fields, std::string_view name, Visit visit)
{
    for (const Field& field : fields.all) {
        if (field.id != FieldId::cookie) continue;
        std::string_view rest = field.value;
        while (!rest.empty()) {
            const std::size_t end = rest.find(';');
            const std::string_view pair = trim(rest.substr(0, end));
            rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
            const std::size_t equals = pair.find('=');
            if (equals != std::string_view::npos && trim(pair.substr(0, equals)) == name)
                visit(trim(pair.substr(equals + 1)));
        }
    }
}

/// Joins the values that `for_each` finds. All of them, not the first: of two cookies of one name a server may take
/// either, and a key with only one of them could be filled with another user's answer. True when any is not empty.
template <class ForEach>
bool append_joined(std::string& out, std::string_view separator, ForEach for_each)
{
    bool first = true, any = false;
    for_each([&](std::string_view value) {
        if (!first) append_key_value(out, separator);
        append_key_value(out, value);
        first = false;
        any = any || !value.empty();
    });
    return any;
}

/// A ";" hides a parameter from one server and shows it to another ("?utm_source=x;page=2"): never to be ignored.
bool hides_another(const Parameter& parameter) noexcept
{
    return parameter.name.find(';') != std::string_view::npos || parameter.value.find(';') != std::string_view::npos;
}

bool is_ignored(const Rule& rule, const Parameter& parameter)
{
    if (rule.ignore_query.empty() || hides_another(parameter)) return false;
    return std::any_of(rule.ignore_query.begin(), rule.ignore_query.end(), [&](const std::string& known) {
        if (!known.ends_with('*')) return parameter_is(parameter.name, known);
        const std::string_view prefix = std::string_view(known).substr(0, known.size() - 1);
        if (parameter.name.find_first_of("%+") == std::string_view::npos) return parameter.name.starts_with(prefix);
        return decode_parameter(parameter.name).starts_with(prefix);
    });
}

/// Calls `visit(name)` for each parameter that the key names, or that `match` pins to one value.
template <class Visit>
void for_each_named(const Rule& rule, Visit visit)
{
    for (const TemplatePart& part : key_of(rule).parts)
        if (part.source == Source::query_value) visit(std::string_view(part.name));
    for (const Condition& condition : rule.match.query)
        if (condition.equals) visit(std::string_view(condition.name));
}

/// "page[]", "page[x]" and "Page" reach `page` in frameworks that build objects or do not look at the case.
bool may_stand_for(std::string_view raw_name, std::string_view named)
{
    const std::string decoded = decode_parameter(raw_name);
    return decoded.size() >= named.size() &&
           equals_ignoring_case(std::string_view(decoded).substr(0, named.size()), named) &&
           (decoded.size() == named.size() || decoded[named.size()] == '[');
}

/// Sorted by name without allocation for a usual number of parameters.
void sort_parameters(std::span<Parameter> parameters)
{
    auto by_name = [](const Parameter& a, const Parameter& b) { return a.name < b.name; };
    if (parameters.size() > 32) return std::stable_sort(parameters.begin(), parameters.end(), by_name);
    for (auto it = parameters.begin(); it != parameters.end(); ++it)
        std::rotate(std::upper_bound(parameters.begin(), it, *it, by_name), it, it + 1);
}

/// The parameter in the normal percent-encoding, as views into `store`, which must have room for it.
Parameter normalised(std::string& store, const Parameter& parameter)
{
    const auto append = [&store](std::string_view text) {
        const std::size_t begin = store.size();
        append_normalised_encoding(store, text);
        return std::string_view(store).substr(begin);
    };
    const std::string_view name = append(parameter.name);
    return {name, append(parameter.value), parameter.has_value};
}

/// Calls `visit(parameter)` for those that `keep` wants, sorted by name, in the normal percent-encoding: each by
/// itself, so that an invalid escape in one does not leave the others as they came.
template <class Keep, class Visit>
void for_each_sorted(std::string_view query, Keep keep, Visit visit)
{
    const bool is_encoded = query.find('%') != std::string_view::npos;
    std::string store;
    if (is_encoded) store.reserve(query.size());  // nothing becomes longer: the views stay valid
    std::array<Parameter, 32> few;
    std::vector<Parameter> many;
    std::size_t count = static_cast<std::size_t>(std::count(query.begin(), query.end(), '&')) + 1;
    if (count > few.size()) many.resize(count);
    const std::span<Parameter> room = many.empty() ? std::span<Parameter>(few) : std::span<Parameter>(many);
    count = 0;
    for_each_parameter(query, [&](const Parameter& parameter) {
        if (keep(parameter)) room[count++] = is_encoded ? normalised(store, parameter) : parameter;
    });
    sort_parameters(room.first(count));
    for (const Parameter& parameter : room.first(count)) visit(parameter);
}

/// All parameters but the ignored ones, sorted, as one value. False when there is none.
bool append_query(std::string& out, const Rule& rule, std::string_view query)
{
    if (query.empty()) return false;
    bool any = false;
    const auto keep = [&rule](const Parameter& parameter) { return !is_ignored(rule, parameter); };
    for_each_sorted(query, keep, [&](const Parameter& parameter) {
        if (any) out += '&';
        any = true;
        append_key_value(out, parameter.name);
        if (!parameter.has_value) return;
        out += '=';
        append_key_value(out, parameter.value);
    });
    return any;
}

/// A decoded name or value as it stands in a query.
void append_encoded(std::string& out, std::string_view text)
{
    constexpr std::string_view hex = "0123456789ABCDEF", unreserved = "-._~";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) ||
                              unreserved.find(c) != std::string_view::npos;
        if (is_plain)
            out += c;
        else
            ((out += '%') += hex[byte >> 4]) += hex[byte & 15];
    }
}

bool append_parameter(std::string& out, std::string_view query, std::string_view name)
{
    bool found = false, filled = false;
    for_each_parameter(query, [&](const Parameter& parameter) {
        if (found || !parameter_is(parameter.name, name)) return;
        found = true;
        filled = !parameter.value.empty();
        if (parameter.value.find_first_of("%+") == std::string_view::npos)
            append_key_value(out, parameter.value);
        else
            append_key_value(out, decode_parameter(parameter.value));
    });
    return filled;
}

bool is_repeated(std::string_view query, std::string_view name)
{
    std::size_t count = 0;
    for_each_parameter(query, [&](const Parameter& parameter) { count += parameter_is(parameter.name, name) ? 1 : 0; });
    return count > 1;
}

/// Appends what the request says about one placeholder. False, with nothing appended, when it is absent or empty.
bool append_value(std::string& out, const TemplatePart& part, const Rule& rule, const RequestView& request,
                  const PathValues& values)
{
    const Fields& fields = request.head->fields;
    switch (part.source) {
    case Source::literal: out += part.name; return true;
    case Source::path_value: {
        const auto value = values.find(part.name);
        if (!value || value->empty()) return false;
        append_decoded(out, *value);
        return true;
    }
    case Source::query_value: return append_parameter(out, request.head->query, part.name);
    case Source::header:
        return append_joined(out, ", ", [&](auto visit) { for_each_header(fields, part.name, visit); });
    case Source::cookie: return append_joined(out, ";", [&](auto visit) { for_each_cookie(fields, part.name, visit); });
    case Source::host: append_key_host(out, request.host); return !request.host.empty();
    case Source::path: append_decoded(out, request.path); return true;
    case Source::query: return append_query(out, rule, request.head->query);
    case Source::method:
        append_key_value(out, request.head->method == Method::head ? "GET" : request.head->method_text);
        return true;
    case Source::wildcard:
    case Source::body:
    case Source::response_header: return false;  // not in keys
    }
    return false;
}

/// Texts that are short, and become one before a string has to grow: most keys are made of nothing else.
class Pieces {
  public:
    explicit Pieces(std::string& out) : out_(out) {}
    void add(std::string_view text)
    {
        if (text.size() > bytes_.size() - size_) flush();
        if (text.size() > bytes_.size()) {
            out_ += text;
            return;
        }
        copy_short(bytes_.data() + size_, text);
        size_ += text.size();
    }
    void flush()
    {
        out_.append(bytes_.data(), size_);
        size_ = 0;
    }

  private:
    std::string& out_;
    std::array<char, 128> bytes_;
    std::size_t size_ = 0;
};

/// What is known of a value that a purge template takes.
enum class Known { filled_in, absent, unknown };

const boost::json::value* find_in(const boost::json::value& body, std::string_view steps)
{
    const boost::json::value* at = &body;
    while (at && !steps.empty()) {
        const std::size_t dot = steps.find('.');
        const std::string_view step = steps.substr(0, dot);
        steps = dot == std::string_view::npos ? std::string_view{} : steps.substr(dot + 1);
        if (const auto* object = at->if_object()) {
            at = object->if_contains({step.data(), step.size()});
        } else if (const auto* array = at->if_array()) {
            const auto index = parse_digits(step);
            at = index && *index < array->size() ? &(*array)[*index] : nullptr;
        } else {
            at = nullptr;
        }
    }
    return at;
}

Known append_body_value(std::string& out, const boost::json::value* body, std::string_view steps, bool has_body)
{
    if (!body) return has_body ? Known::unknown : Known::absent;
    const boost::json::value* value = find_in(*body, steps);
    if (!value || value->is_null()) return Known::absent;
    if (const auto* text = value->if_string()) {
        append_key_value(out, {text->data(), text->size()});
        return text->empty() ? Known::absent : Known::filled_in;
    }
    if (const auto* number = value->if_int64())
        out += std::to_string(*number);
    else if (const auto* large = value->if_uint64())
        out += std::to_string(*large);
    else if (const auto* truth = value->if_bool())
        out += *truth ? "true" : "false";
    else
        return Known::unknown;  // a fraction may stand as 1.5 or 1.50 in a key, and a large integer has lost digits
    return Known::filled_in;
}

Known append_purge_value(std::string& out, const TemplatePart& part, const Rule& rule, const RequestView& request,
                         const PathValues& values, const WriteValues& write)
{
    switch (part.source) {
    case Source::body: return append_body_value(out, write.body, part.name, request.head->body != BodyKind::none);
    case Source::response_header:
        if (!write.response) return Known::unknown;
        return append_joined(out, ", ", [&](auto visit) { for_each_header(*write.response, part.name, visit); })
                   ? Known::filled_in
                   : Known::absent;
    case Source::path_value:
        if (const auto value = values.find(part.name); value && value->empty()) return Known::filled_in;
        break;
    case Source::query_value:
        if (is_repeated(request.head->query, part.name)) return Known::unknown;
        break;
    default: break;
    }
    return append_value(out, part, rule, request, values) ? Known::filled_in : Known::absent;
}

void append_wildcard(PurgeTarget& target)
{
    if (!target.text.ends_with('*')) target.text += '*';
    target.exact = false;
}

bool fill_target(PurgeTarget& target, const Template& text, const Rule& rule, const RequestView& request,
                 const PathValues& values, const WriteValues& write)
{
    for (const TemplatePart& part : text.parts) {
        if (part.source == Source::wildcard) {
            append_wildcard(target);
            continue;
        }
        const std::size_t before = target.text.size();
        const Known known = append_purge_value(target.text, part, rule, request, values, write);
        if (known == Known::filled_in) continue;
        target.text.resize(before);
        if (known == Known::absent && part.fallback) {
            append_key_value(target.text, *part.fallback);
        } else if (part.source == Source::path_value) {
            return false;
        } else {
            append_wildcard(target);
            target.widened = true;
        }
    }
    return true;
}

/// Calls `visit(name)` for each parameter that makes the request pass by, until it says false.
template <class Visit>
void for_each_unnamed(const Rule& rule, const RequestView& request, Visit visit)
{
    if (request.head->query.empty() || key_of(rule).uses(Source::query)) return;
    bool goes_on = true;
    for_each_parameter(request.head->query, [&](const Parameter& parameter) {
        if (!goes_on) return;
        bool named = false, confusable = hides_another(parameter);
        for_each_named(rule, [&](std::string_view name) {
            if (parameter_is(parameter.name, name))
                named = true;
            else
                confusable = confusable || may_stand_for(parameter.name, name);
        });
        if (named) return;
        if (rule.query_policy == QueryPolicy::ignore ? !confusable : is_ignored(rule, parameter)) return;
        goes_on = visit(parameter.name.empty() ? std::string_view("=") : parameter.name);
    });
}

bool any_template_uses(const Rule& rule, Source source) noexcept
{
    return std::any_of(rule.purge.begin(), rule.purge.end(), [&](const Template& text) { return text.uses(source); });
}

}  // namespace

std::string normalise_host(std::string_view host)
{
    for (const std::string_view port : {":80", ":443"})
        if (host.ends_with(port)) host.remove_suffix(port.size());
    std::string normal(host);
    std::transform(normal.begin(), normal.end(), normal.begin(), lower);
    return normal;
}

void append_key_host(std::string& out, std::string_view host)
{
    for (const std::string_view port : {":80", ":443"})
        if (host.ends_with(port)) host.remove_suffix(port.size());
    for (const char c : host) {  // as above, without a string of its own: every hit comes through here
        const char lowered = lower(c);
        append_key_value(out, {&lowered, 1});
    }
}

void append_target(std::vector<PurgeTarget>& targets, PurgeTarget target)
{
    const bool known = std::any_of(targets.begin(), targets.end(), [&](const PurgeTarget& other) {
        return other.exact == target.exact && other.text == target.text;
    });
    if (!known) targets.push_back(std::move(target));
}

KeyNotes append_key(std::string& key, const Rule& rule, const RequestView& request, const PathValues& values)
{
    Pieces pieces(key);
    for (const TemplatePart& part : key_of(rule).parts) {
        if (part.source == Source::literal) {
            pieces.add(part.name);
            continue;
        }
        if (part.source == Source::path_value) {
            const std::string_view value = values.find(part.name).value_or(std::string_view());
            if (!value.empty() && plain_prefix(value) == value.size()) {
                pieces.add(value);
                continue;
            }
        }
        pieces.flush();
        const std::size_t before = key.size();
        if (append_value(key, part, rule, request, values)) continue;
        key.resize(before);
        if (part.fallback) append_key_value(key, *part.fallback);
    }
    pieces.flush();
    KeyNotes notes;
    if (!request.head->query.empty()) {
        for_each_named(rule, [&](std::string_view name) {
            notes.repeated_parameter = notes.repeated_parameter || is_repeated(request.head->query, name);
        });
    }
    return notes;
}

std::string_view unnamed_parameter(const Rule& rule, const RequestView& request)
{
    std::string_view unnamed;
    for_each_unnamed(rule, request, [&](std::string_view name) {
        unnamed = name;
        return false;
    });
    return unnamed;
}

std::vector<std::string> unnamed_parameters(const Rule& rule, const RequestView& request)
{
    std::vector<std::string> names;
    for_each_unnamed(rule, request, [&](std::string_view name) {
        if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
        return true;
    });
    return names;
}

std::vector<std::string> repeated_parameters(const Rule& rule, const RequestView& request)
{
    std::vector<std::string> names;
    for_each_named(rule, [&](std::string_view name) {
        const bool is_new = std::find(names.begin(), names.end(), name) == names.end();
        if (is_new && is_repeated(request.head->query, name)) names.emplace_back(name);
    });
    return names;
}

void append_fill_query(std::string& out, const Rule& rule, const RequestView& request)
{
    const std::string_view query = request.head->query;
    if (query.empty()) return;
    char separator = '?';
    const auto append = [&](const Parameter& parameter) {
        out += std::exchange(separator, '&');
        out += parameter.name;
        if (parameter.has_value) (out += '=') += parameter.value;
    };
    if (key_of(rule).uses(Source::query))
        return for_each_sorted(
            query, [&rule](const auto& parameter) { return !is_ignored(rule, parameter); }, append);

    // Named values are decoded in the key ("a+b" is "a%20b"), so they are asked for in one encoding; and one that is
    // empty, or its fallback, is not asked for, since in the key it is as if it were not there.
    const auto is_wanted = [&rule](const Parameter& parameter) {
        for (const Condition& condition : rule.match.query)
            if (parameter_is(parameter.name, condition.name)) return true;
        for (const TemplatePart& part : key_of(rule).parts) {
            if (part.source != Source::query_value || !parameter_is(parameter.name, part.name)) continue;
            return !parameter.value.empty() && !(part.fallback && parameter_is(parameter.value, *part.fallback));
        }
        return false;
    };
    for_each_sorted(query, is_wanted, [&](const Parameter& parameter) {
        out += std::exchange(separator, '&');
        append_encoded(out, decode_parameter(parameter.name));
        if (!parameter.has_value) return;
        out += '=';
        append_encoded(out, decode_parameter(parameter.value));
    });
}

bool names_requester(const Rule& rule, const RequestView& request)
{
    const Fields& fields = request.head->fields;
    bool present = false;
    auto look = [&](std::string_view value) { present = present || !value.empty(); };
    for (const TemplatePart& part : key_of(rule).parts) {
        if (!part.names_somebody()) continue;
        if (part.source == Source::cookie)
            for_each_cookie(fields, part.name, look);
        else
            for_each_header(fields, part.name, look);
    }
    return present;
}

bool stands_for_named(const Rule& rule, std::string_view name)
{
    if (name.find('_') == std::string_view::npos) return false;
    std::string dashed(name);
    std::replace(dashed.begin(), dashed.end(), '_', '-');
    const auto& parts = key_of(rule).parts;
    return std::any_of(parts.begin(), parts.end(), [&](const TemplatePart& part) {
        return part.source == Source::header && !equals_ignoring_case(part.name, name) &&
               equals_ignoring_case(part.name, dashed);
    });
}

void append_purge_targets(std::vector<PurgeTarget>& targets, const Rule& rule, const RequestView& request,
                          const PathValues& values, const WriteValues& write)
{
    for (const Template& text : rule.purge) {
        if (write.before_response && text.uses(Source::response_header)) continue;
        PurgeTarget target;
        if (fill_target(target, text, rule, request, values, write)) append_target(targets, std::move(target));
    }
}

void append_target_key(std::vector<PurgeTarget>& targets, const Rule& rule, const RequestView& request,
                       const PathValues& values)
{
    PurgeTarget target;
    for (const TemplatePart& part : key_of(rule).parts) {
        if (part.source == Source::header || part.source == Source::cookie) {
            append_wildcard(target);
            continue;
        }
        const std::size_t before = target.text.size();
        if (append_value(target.text, part, rule, request, values)) continue;
        target.text.resize(before);
        if (part.fallback) append_key_value(target.text, *part.fallback);
    }
    append_target(targets, std::move(target));
}

bool needs_body(const Rule& rule) noexcept { return any_template_uses(rule, Source::body); }
bool needs_response(const Rule& rule) noexcept { return any_template_uses(rule, Source::response_header); }

}  // namespace larder::rules
