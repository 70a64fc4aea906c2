#include "rules/explain/explain.hpp"

#include <algorithm>
#include <numeric>

#include "rules/base/text.hpp"
#include "rules/explain/mismatch.hpp"
#include "rules/explain/purgers.hpp"
#include "rules/explain/reach.hpp"
#include "rules/http/fields.hpp"
#include "rules/http/target.hpp"
#include "rules/pattern/pattern.hpp"
#include "rules/verdict/invalidation.hpp"
#include "rules/verdict/judge_fill.hpp"
#include "rules/verdict/judge_lookup.hpp"

namespace larder::rules {

namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr std::size_t others_shown = 8;

/// The request that curl would send.
std::string request_text(std::string_view method, std::string_view target, const Headers& headers)
{
    std::string text = std::string(method) + ' ';
    const std::size_t scheme = target.find("://");
    std::string_view host = "localhost";
    if (scheme != std::string_view::npos && !target.starts_with('/')) {
        host = target.substr(scheme + 3);
        host = host.substr(0, host.find_first_of("/?"));
    } else if (!target.starts_with('/') && target != "*") {
        text += '/';
    }
    ((text += target.substr(0, target.find('#'))) += " HTTP/1.1\r\n");
    const bool has_host = std::any_of(headers.begin(), headers.end(),
                                      [](const auto& header) { return equals_ignoring_case(header.first, "host"); });
    if (!has_host) ((text += "Host: ") += host) += "\r\n";
    for (const auto& [name, value] : headers) (((text += name) += ": ") += value) += "\r\n";
    return text + "\r\n";
}

/// A request that was read, with what the judges want of it. Stays where it is.
struct Request {
    Request(std::string_view method, std::string_view target, const Headers& headers)
        : bytes(request_text(method, target, headers)), scan(scan_request(bytes, HeadLimits{}, head))
    {
        // A line end inside a header of the command line would end the head early: it is no header either.
        const bool ends_early = scan == Scan::ok && head.bytes.size() != bytes.size();
        if (ends_early || scan == Scan::incomplete) scan = Scan::bad_field;
        if (scan != Scan::ok) return;
        path = normalise_path(head.path, scratch);
        view = RequestView{&head, path.text, head.authority};
    }
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    std::string bytes, scratch;
    RequestHead head;
    Scan scan;
    NormalPath path;
    RequestView view;
};

Explanation::Reason reason_of(Forward forward, std::string detail = {})
{
    return {word(forward), std::string(text(forward)), std::move(detail), std::string(remedy(forward))};
}

Explanation::Reason reason_of(NotStored reason, std::string detail)
{
    return {word(reason), std::string(text(reason)), std::move(detail), std::string(remedy(reason))};
}

std::vector<Explanation::Value> values_of(const Rule& rule, const PathValues& values)
{
    std::vector<Explanation::Value> all;
    for (const PathSegment& segment : rule.match.segments) {
        if (segment.kind == PathSegment::Kind::literal) continue;
        const auto value = values.find(segment.text);
        all.push_back({segment.text, value ? std::optional<std::string>(*value) : std::nullopt});
    }
    return all;
}

std::string source_text(const TemplatePart& part)
{
    switch (part.source) {
    case Source::path_value: return "the path";
    case Source::query_value: return "query parameter " + part.name;
    case Source::header: return "header " + part.name;
    case Source::cookie: return "cookie " + part.name;
    case Source::host: return "the host";
    case Source::path: return "the whole path";
    case Source::query: return "all query parameters, sorted";
    case Source::method: return "the method";
    default: return "";
    }
}

class Explainer {
  public:
    Explainer(const Rulebook& book, std::string_view method, std::string_view target, const Headers& headers)
        : book_(book), method_(method), target_(target), headers_(headers), request_(method, target, headers)
    {
    }

    Explanation run()
    {
        out_.method = method_;
        out_.target = target_;
        out_.mode = book_.mode;
        if (request_.scan != Scan::ok) {
            out_.refused = {status_for(request_.scan), word(request_.scan), text(request_.scan)};
            return std::move(out_);
        }
        out_.method = request_.head.method_text;  // as it was read: line ends before it are not part of it
        out_.target = request_.head.target;
        out_.path = request_.path.text;
        out_.raw_path = request_.head.path;
        out_.path_is_ambiguous = request_.path.form == PathForm::ambiguous;
        out_.is_write = !is_safe(request_.head.method);
        const Matched matched = book_.matcher.match_cache(request_.view);
        const bool is_read = request_.head.method == Method::get || request_.head.method == Method::head;
        if (is_read) tell_read(matched);
        tell_reasons();
        std::vector<Matched> writes;
        book_.matcher.match_purge(request_.view, writes);
        for (const Matched& write : writes) tell_write(write);
        if (!writes.empty()) tell_fence(writes);
        if (out_.is_write) tell_voids();
        tell_others(is_read, matched.rule, writes);
        return std::move(out_);
    }

  private:
    void tell_read(const Matched& matched)
    {
        const Rule* rule = matched.rule;
        if (!rule && book_.mode == CacheMode::respect_origin) rule = &respect_origin_rule();
        if (!rule) return;
        out_.rule = rule_name(*rule);
        if (matched.rule) out_.values = values_of(*rule, matched.values);
        if (!rule->cache) return;
        tell_key(*rule, matched.values);
        tell_life(*rule);
        tell_not_stored(*rule);
        out_.purged_by = purgers_of(book_.rules, out_.key);
    }

    void tell_key(const Rule& rule, const PathValues& values)
    {
        out_.has_key = true;
        append_key(out_.key, rule, request_.view, values);
        out_.key_template = key_template(rule).text;
        out_.key_is_default = !rule.key;
        for (const TemplatePart& part : key_template(rule).parts) {
            if (part.source == Source::literal) continue;
            // Each part by itself, filled in by what makes the key.
            Rule single = rule;
            single.key = Template{{}, {part}};
            single.key->parts.front().fallback.reset();
            Explanation::KeyPart told{placeholder_text(part), source_text(part), {}, {}, false};
            append_key(told.escaped, single, request_.view, values);
            if (told.escaped.empty() && part.fallback) {
                append_key_value(told.escaped, *part.fallback);
                told.fallback = true;
            }
            told.value = percent_decode(told.escaped);
            out_.key_parts.push_back(std::move(told));
        }
    }

    void tell_reasons()
    {
        const auto reasons = pass_reasons(book_.matcher, book_.mode, request_.view, request_.path.form);
        for (const PassReason& reason : reasons) out_.passes_by.push_back(reason_of(reason.reason, reason.parameter));
        std::string key;
        out_.looked_up =
            judge_request(book_.matcher, book_.mode, request_.view, request_.path.form, key).bypass == Forward::none;
        if (!out_.looked_up) return;
        tell_would_pass();
        tell_directives();
        const FillJudgement fill = judge_fill(request_.view, false);
        if (fill.fills) return;
        if (fill.forward != Forward::none)
            out_.on_miss.push_back(reason_of(fill.forward));
        else if (fill.not_stored != NotStored::none)
            out_.on_miss.push_back(reason_of(fill.not_stored, {}));
        else
            out_.on_miss.push_back({"method", "a HEAD is forwarded as it is; its answer has no body to store", {}, {}});
    }

    /// What would make it pass by: the same request with a little more, judged anew.
    void tell_would_pass()
    {
        const auto probe = [&](std::string_view method, const std::string& target, const Headers& headers,
                               const std::string& with) {
            const Request more(method, target, headers);
            if (more.scan != Scan::ok) return;
            std::string key;
            const Forward reason = judge_request(book_.matcher, book_.mode, more.view, more.path.form, key).bypass;
            if (reason != Forward::none) out_.would_pass_by.push_back(reason_of(reason, with));
        };
        const auto with_header = [&](const char* name, const char* value, const std::string& with) {
            Headers headers = headers_;
            headers.emplace_back(name, value);
            probe(method_, target_, headers, with);
        };
        if (!request_.head.fields.has(FieldId::authorization))
            with_header("Authorization", "Bearer larder-probe", "with Authorization");
        if (!request_.head.fields.has(FieldId::cookie)) with_header("Cookie", "larder-probe=1", "with Cookie");
        const std::string target = target_.substr(0, target_.find('#'));
        const char separator = target.find('?') == std::string::npos ? '?' : '&';
        probe(method_, target + separator + "larder-probe=1", headers_, "with any other query parameter");
    }

    /// What its Cache-Control does (client_cache_control).
    void tell_directives()
    {
        const Rule* rule = book_.matcher.match_cache(request_.view).rule;
        const auto honoured =
            rule ? rule->client_cache_control.value_or(ClientCacheControl::ignore)
                 : book_.client_cache_control.value_or(
                       respect_origin_rule().client_cache_control.value_or(ClientCacheControl::ignore));
        out_.client_cache_control = honoured;
        if (honoured != ClientCacheControl::respect) return;
        const RequestDirectives directives = request_directives(request_.head.fields);
        if (!directives.given) return;
        std::string& told = out_.client_directives;
        if (directives.no_cache) told = "no-cache: what is stored is validated first (client-cache-control)";
        const auto add = [&told](bool given, const char* what) {
            if (given) (told += told.empty() ? "" : "; ") += what;
        };
        add(directives.only_if_cached, "only-if-cached: 504 when nothing is stored that will do (only-if-cached)");
        add(directives.max_age.has_value(), "max-age: what is older is validated first (client-cache-control)");
        add(directives.min_fresh.has_value(),
            "min-fresh: what expires sooner is validated first (client-cache-control)");
        add(directives.max_stale.has_value(), "max-stale: what has expired may be served");
        add(directives.stale_if_error.has_value(), "stale-if-error: what has expired may be served when the app fails");
    }

    void tell_life(const Rule& rule)
    {
        if (rule.ttl.any) {
            out_.lifetimes.push_back({"200, 203, 204, 300, 301, 308", *rule.ttl.any});
            out_.lifetimes.push_back({"404, 410", *rule.ttl.any / 10});
        }
        for (const auto& [status, ttl] : rule.ttl.status) out_.lifetimes.push_back({std::to_string(status), ttl});
        out_.cache_control = rule.cache_control;
        out_.stale_while_revalidate = rule.stale_while_revalidate;
        out_.stale_if_error = rule.stale_if_error;
        out_.tags = rule.tags_of_response;
    }

    void tell_not_stored(const Rule& rule)
    {
        const bool override = rule.cache_control == CacheControlMode::override_ && rule.ttl.given();
        const auto add = [&](NotStored reason, const char* which) {
            out_.not_stored.push_back(reason_of(reason, which));
        };
        if (!rule.strip_set_cookie) add(NotStored::set_cookie, "a response with Set-Cookie");
        add(NotStored::vary_any, "a response with Vary: *");
        add(NotStored::no_store, "a response with Cache-Control: no-store");
        if (!override) add(NotStored::is_private, "a response with Cache-Control: private");
        if (!override && request_.head.fields.has(FieldId::authorization))
            add(NotStored::response_authorization,
                "for a request with Authorization, a response without public, s-maxage or must-revalidate");
        if (rule.ttl.given())
            add(NotStored::status, "a response with another status and no lifetime of its own");
        else
            add(NotStored::no_lifetime, "a response without a lifetime of its own");
        add(NotStored::too_large, "a body above max_object");
    }

    void tell_write(const Matched& matched)
    {
        const Rule& rule = *matched.rule;
        Explanation::Write write;
        write.rule = rule_name(rule);
        write.values = values_of(rule, matched.values);
        write.fence = rule.fence;
        write.on_store_error = rule.on_store_error;
        write.settle = rule.settle;
        write.tags = rule.tags_of_response;
        for (const Template& pattern : rule.purge) {
            // One template at a time, so that each can say where it comes from.
            Rule single = rule;
            single.purge = {pattern};
            std::vector<PurgeTarget> targets;
            append_purge_targets(targets, single, request_.view, matched.values, {});
            Explanation::Purge purge;
            purge.pattern = pattern.text;
            purge.left_out = targets.empty();
            if (!targets.empty()) tell_target(purge, rule, pattern, matched.values, targets.front());
            write.purges.push_back(std::move(purge));
        }
        out_.writes.push_back(std::move(write));
    }

    void tell_target(Explanation::Purge& purge, const Rule& rule, const Template& pattern, const PathValues& values,
                     const PurgeTarget& target)
    {
        purge.text = target.text;
        purge.exact = target.exact;
        for (const TemplatePart& part : pattern.parts) {
            Rule single = rule;
            single.purge = {Template{{}, {part}}};
            std::vector<PurgeTarget> alone;
            append_purge_targets(alone, single, request_.view, values, {});
            if (alone.empty() || !alone.front().widened) continue;
            purge.widened_by.push_back(placeholder_text(part));
            purge.sees_body = purge.sees_body || part.source == Source::body;
            purge.sees_response = purge.sees_response || part.source == Source::response_header;
        }
        for (const Rule* reached : rules_with_keys(book_.rules, book_.mode))
            if (reaches(target, *reached)) purge.reaches.push_back(rule_name(*reached));
        targets_.push_back(target);
    }

    /// What the write takes from the cache while it is under way. One rule with `fence: both` holds for the whole
    /// write.
    void tell_fence(const std::vector<Matched>& writes)
    {
        out_.fenced = std::any_of(writes.begin(), writes.end(),
                                  [](const Matched& write) { return write.rule->fence == Fence::both; });
        out_.wide = std::any_of(targets_.begin(), targets_.end(), [](const auto& target) { return !target.exact; });
        if (!out_.fenced) return;
        for (const Rule* rule : rules_with_keys(book_.rules, book_.mode))
            if (std::any_of(targets_.begin(), targets_.end(),
                            [&](const PurgeTarget& target) { return reaches(target, *rule); }))
                out_.meanwhile.push_back(rule_name(*rule));
    }

    /// What it voids without any purge rule.
    void tell_voids()
    {
        std::vector<PurgeTarget> own;
        append_invalidated(own, book_.matcher, book_.mode, request_.head.authority, request_.head.path,
                           request_.head.query);
        for (PurgeTarget& target : own) out_.voids.push_back({std::move(target.text), target.exact});
    }

    /// Why not the others: of the same kind, the nearest ones.
    void tell_others(bool is_read, const Rule* chosen, const std::vector<Matched>& writes)
    {
        if (!is_read && !out_.is_write) return;
        std::vector<const Rule*> others;
        for (const Rule& rule : book_.rules) {
            const bool matches =
                std::any_of(writes.begin(), writes.end(), [&](const Matched& write) { return write.rule == &rule; });
            if (rule.is_purge() == out_.is_write && &rule != chosen && !matches) others.push_back(&rule);
        }
        std::stable_sort(others.begin(), others.end(), [&](const Rule* a, const Rule* b) {
            return nearness(*a, request_.path.text) > nearness(*b, request_.path.text);
        });
        const std::size_t shown = std::min(others.size(), others_shown);
        out_.others_left_out = others.size() - shown;
        others.resize(shown);
        std::sort(others.begin(), others.end(), [](const Rule* a, const Rule* b) { return a < b; });
        for (const Rule* rule : others) {
            std::string why = mismatch(*rule, request_.view);
            if (why.empty()) why = "it matches too, but " + (chosen ? chosen->name : "another") + " stands before it";
            out_.others.push_back({rule_name(*rule), std::move(why)});
        }
    }

    Rulebook book_;
    std::string method_, target_;
    const Headers& headers_;
    Request request_;
    std::vector<PurgeTarget> targets_;  // of all purge rules that match
    Explanation out_;
};

}  // namespace

Explanation explain(const Rulebook& book, std::string_view method, std::string_view target, const Headers& headers)
{
    return Explainer(book, method, target, headers).run();
}

}  // namespace larder::rules
