#include "rules/explain/explain.hpp"

#include <algorithm>

#include "rules/base/text.hpp"
#include "rules/explain/reach.hpp"
#include "rules/explain/shape.hpp"
#include "rules/http/target.hpp"
#include "rules/pattern/pattern.hpp"
#include "rules/verdict/invalidation.hpp"

namespace larder::rules {

namespace {

std::string duration(Milliseconds value)
{
    const auto ms = value.count();
    if (ms % 1000 != 0) return std::to_string(ms) + "ms";
    if (ms % 3600'000 == 0 && ms != 0) return std::to_string(ms / 3600'000) + "h";
    if (ms % 60'000 == 0 && ms != 0) return std::to_string(ms / 60'000) + "m";
    return std::to_string(ms / 1000) + "s";
}

std::string quoted(std::string_view text) { return '"' + std::string(text) + '"'; }

/// `event-list (line 9)`
std::string name_of(const Rule& rule)
{
    return rule.name + (rule.place.line > 0 ? " (line " + std::to_string(rule.place.line) + ")" : "");
}

std::string match_text(const Match& match)
{
    std::string text;
    for (const std::string& method : match.methods) (text += text.empty() ? "" : "|") += method;
    return text + ' ' + match.host + match.path_text;
}

std::string joined(const std::vector<std::string>& texts)
{
    std::string all;
    for (const std::string& text : texts) (all += all.empty() ? "" : ", ") += text;
    return all;
}

class Explanation {
  public:
    Explanation(const std::vector<Rule>& rules, const Matcher& matcher, CacheMode mode)
        : rules_(rules), matcher_(matcher), mode_(mode)
    {
    }

    std::string run(const RequestHead& head)
    {
        std::string scratch;
        const NormalPath path = normalise_path(head.path, scratch);
        const RequestView request{&head, path.text, head.authority};
        line("request", std::string(head.method_text) + ' ' + std::string(head.target));
        if (path.text != head.path)
            line("path", std::string(path.text) + ", the normal form of " + std::string(head.path));

        std::string key;
        const RequestJudgement judgement = judge_request(matcher_, mode_, request, path.form, key);
        std::vector<Matched> writes;
        matcher_.match_purge(request, writes);
        if (judgement.rule) tell_rule(*judgement.rule, request);
        // A write passes by as a matter of course; what matters is what it purges.
        if (judgement.bypass == Forward::none)
            tell_lookup(*judgement.rule, key, head);
        else if (writes.empty() || judgement.bypass != Forward::method)
            tell_bypass(judgement);
        for (const Matched& write : writes) tell_purge(write, request);
        if (!writes.empty()) tell_fence(writes);
        if (!is_safe(head.method)) tell_invalidation(writes, head);
        return std::move(out_);
    }

    void line(std::string_view word, std::string_view text) { ((out_ += word) += ": ") += text, out_ += '\n'; }
    std::string take() { return std::move(out_); }

  private:
    void tell_rule(const Rule& rule, const RequestView& request)
    {
        line("rule", name_of(rule) + ": " + match_text(rule.match));
        const Matched matched = matcher_.match_cache(request);
        if (matched.rule == &rule) tell_values(rule, matched.values);
    }

    void tell_values(const Rule& rule, const PathValues& values)
    {
        std::vector<std::string> texts;
        for (const PathSegment& segment : rule.match.segments) {
            if (segment.kind == PathSegment::Kind::literal) continue;
            const auto value = values.find(segment.text);
            texts.push_back(segment.text + (value ? " = " + quoted(*value) : " is absent"));
        }
        if (!texts.empty()) line("values", joined(texts));
    }

    void tell_bypass(const RequestJudgement& judgement)
    {
        std::string why = std::string(text(judgement.bypass));
        if (!judgement.parameter.empty()) why += ": " + quoted(judgement.parameter);
        line("verdict", std::string(word(Verdict::bypass)) + " (" + std::string(word(judgement.bypass)) + "); " + why);
        if (!remedy(judgement.bypass).empty()) line("to change that", remedy(judgement.bypass));
    }

    void tell_lookup(const Rule& rule, const std::string& key, const RequestHead& head)
    {
        line("key", key + "   from " + (rule.key ? rule.key->text : default_key().text + " (the default)"));
        line("verdict", "looked up; a miss is fetched and stored if the response allows it");
        line("lifetime", lifetime_text(rule));
        const bool override = rule.cache_control == CacheControlMode::override_;
        line("cache_control",
             override ? "override: the rule's ttl wins over Expires and Cache-Control (private, no-cache, max-age, "
                        "s-maxage); no-store is still obeyed"
                      : "respect: s-maxage, max-age or Expires of the response win over the rule's ttl; no-store and "
                        "private are never stored. The first of Larder-Cache-Control, CDN-Cache-Control, Cache-Control "
                        "(with Expires) that the response has decides alone");
        if (&rule != &respect_origin_rule())
            line("client_cache_control",
                 rule.client_cache_control == ClientCacheControl::respect
                     ? "respect: no-cache, max-age, min-fresh, max-stale and only-if-cached of a request count"
                     : "ignore: what a request says about caching counts for nothing, but no-store keeps its own "
                       "answer out");
        if (!rule.strip_set_cookie)
            line("not stored", "a response with Set-Cookie (strip_set_cookie: true), and one with Vary: *");
        if (!override && head.fields.has(FieldId::authorization))
            line("not stored",
                 "for a request with Authorization, a response without public, s-maxage or "
                 "must-revalidate (cache_control: override)");
        if (rule.stale_while_revalidate.count() > 0)
            line("stale", "served for " + duration(rule.stale_while_revalidate) + " more while it is fetched again");
        if (rule.stale_if_error.count() > 0)
            line("stale",
                 "served for " + duration(rule.stale_if_error) + " more while the upstream fails; never after a purge");

        bool any = false;
        for (const Rule& purger : rules_) {
            for (const Template& pattern : purger.purge) {
                if (!may_overlap(shape_of(pattern), escape(key))) continue;
                line("purged by", name_of(purger) + ": " + match_text(purger.match) + " with " + quoted(pattern.text));
                any = true;
            }
        }
        if (!any) line("purged by", "no write; the entry lives until its lifetime ends or it is purged by hand");
    }

    static std::string lifetime_text(const Rule& rule)
    {
        std::vector<std::string> texts;
        if (rule.ttl.any) {
            texts.push_back("ttl " + duration(*rule.ttl.any) + " for 200, 203, 204, 300, 301, 308");
            texts.push_back(duration(*rule.ttl.any / 10) + " for 404, 410");
        }
        for (const auto& [status, ttl] : rule.ttl.status)
            texts.push_back("ttl " + duration(ttl) + " for " + std::to_string(status));
        return texts.empty() ? "what the response says; the rule has no ttl" : joined(texts);
    }

    void tell_purge(const Matched& write, const RequestView& request)
    {
        const Rule& rule = *write.rule;
        line("purge rule", name_of(rule) + ": " + match_text(rule.match));
        tell_values(rule, write.values);
        for (const Template& pattern : rule.purge) {
            // One template at a time, so that each line can say where it comes from.
            Rule single = rule;
            single.purge = {pattern};
            std::vector<PurgeTarget> targets;
            append_purge_targets(targets, single, request, write.values, {});
            if (targets.empty()) {
                line("left out", quoted(pattern.text) + ", because a value of the path is absent");
                continue;
            }
            const PurgeTarget& target = targets.front();
            line("purges", target.text + (target.exact ? "   one key" : "   every key that matches") + ", from " +
                               quoted(pattern.text));
            if (target.widened) line("widened", widened_text(pattern));
            tell_reach(target);
        }
        line("fence", rule.fence == Fence::both
                          ? "both: from before the write is forwarded until its answer, reads of these keys pass by"
                          : "after: purged when the answer has arrived");
    }

    /// What it voids without any purge rule.
    void tell_invalidation(const std::vector<Matched>& writes, const RequestHead& head)
    {
        std::vector<PurgeTarget> own;
        append_invalidated(own, matcher_, mode_, head.authority, head.path, head.query);
        if (writes.empty() && own.empty())
            return line("purges", "nothing; no purge rule matches this request, and no cache rule its own address");
        for (const PurgeTarget& target : own)
            line("voids", target.text + (target.exact ? "   one key" : "   every key that matches") +
                              ", its own address, when the answer is 2xx or 3xx (RFC 9111 4.4)");
        if (writes.empty()) line("purges", "nothing else; no purge rule matches this request");
    }

    /// What the write takes from the cache while it is under way. One rule with `fence: both` holds for the whole
    /// write.
    void tell_fence(const std::vector<Matched>& writes)
    {
        const bool fenced = std::any_of(writes.begin(), writes.end(),
                                        [](const Matched& write) { return write.rule->fence == Fence::both; });
        if (!fenced) {
            line("meanwhile", "GETs are answered from the cache as before, until the write's answer has arrived");
            line("the price",
                 "such a GET may see the old answer or the new one, and when Larder dies between the app's "
                 "change and the purge the old answer stays for its lifetime; fence: both closes both");
            return;
        }
        std::vector<std::string> names;
        for (const Rule* rule : rules_with_keys(rules_, mode_))
            if (std::any_of(reached_.begin(), reached_.end(),
                            [&](const PurgeTarget& target) { return reaches(target, *rule); }))
                names.push_back(name_of(*rule));
        if (names.empty()) return line("meanwhile", "no GET passes by: the patterns fit no rule's key");
        const bool wide =
            std::any_of(reached_.begin(), reached_.end(), [](const auto& target) { return !target.exact; });
        line("meanwhile", "GETs of " + joined(names) +
                              " whose key fits pass by (write-open) and are not stored, in every "
                              "replica, for as long as this write is under way");
        line("to change that",
             std::string(wide ? "narrow the patterns, or " : "") +
                 "fence: after in every purge rule of this write. It costs: a GET during the write may see "
                 "the old answer or the new one, and when Larder dies between the app's change and the purge "
                 "the old answer stays for its lifetime");
    }

    static std::string widened_text(const Template& pattern)
    {
        std::string text = "'*' stands for what is missing";
        if (pattern.uses(Source::body))
            text += "; the values of {body...} come from the write's JSON body, which explain does not see";
        if (pattern.uses(Source::response_header)) text += "; those of {response...} from its response";
        return text;
    }

    void tell_reach(const PurgeTarget& target)
    {
        reached_.push_back(target);
        std::vector<std::string> names;
        for (const Rule* rule : rules_with_keys(rules_, mode_))
            if (reaches(target, *rule)) names.push_back(name_of(*rule));
        line("reaches", names.empty() ? "no rule's keys" : "keys of " + joined(names));
    }

    const std::vector<Rule>& rules_;
    const Matcher& matcher_;
    CacheMode mode_;
    std::string out_;
    std::vector<PurgeTarget> reached_;  // of all purge rules told so far
};

/// The request that curl would send.
std::string request_text(std::string_view method, std::string_view target,
                         const std::vector<std::pair<std::string, std::string>>& headers)
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

}  // namespace

std::string explain(const std::vector<Rule>& rules, const Matcher& matcher, CacheMode mode, std::string_view method,
                    std::string_view target, const std::vector<std::pair<std::string, std::string>>& headers)
{
    Explanation explanation(rules, matcher, mode);
    const std::string bytes = request_text(method, target, headers);
    RequestHead head;
    const Scan scan = scan_request(bytes, HeadLimits{}, head);
    if (scan == Scan::ok && head.bytes.size() == bytes.size()) return explanation.run(head);
    // A line end inside a header of the command line would end the head early: it is no header either.
    const Scan fault = scan == Scan::ok || scan == Scan::incomplete ? Scan::bad_field : scan;
    explanation.line("verdict", "refused with " + std::to_string(status_for(fault)) + " (" + std::string(word(fault)) +
                                    "); " + std::string(text(fault)));
    return explanation.take();
}

}  // namespace larder::rules
