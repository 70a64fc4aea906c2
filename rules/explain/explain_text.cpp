// The explanation for people. Lines are "word: text"; what belongs to the line before is indented by two spaces.
#include <algorithm>

#include "rules/explain/explain.hpp"

namespace larder::rules {

namespace {

using Reason = Explanation::Reason;
using RuleName = Explanation::RuleName;

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
std::string name_of(const RuleName& rule)
{
    return rule.name + (rule.line > 0 ? " (line " + std::to_string(rule.line) + ")" : "");
}

std::string names_of(const std::vector<RuleName>& rules)
{
    std::string all;
    for (const RuleName& rule : rules) (all += all.empty() ? "" : ", ") += name_of(rule);
    return all;
}

bool is_printable(std::string_view text)
{
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

class Page {
  public:
    explicit Page(const Explanation& told) : told_(told) {}

    std::string run()
    {
        if (told_.refused) {  // what it was is not repeated: it may hold anything
            line("verdict", "refused with " + std::to_string(told_.refused->status) + " (" +
                                std::string(told_.refused->word) + "); " + std::string(told_.refused->text));
            return std::move(out_);
        }
        line("request", told_.method + ' ' + told_.target);
        if (told_.path != told_.raw_path)
            line("path", told_.path + ", the normal form of " + told_.raw_path +
                             (told_.path_is_ambiguous ? "; two servers may read it differently" : ""));
        if (told_.mode == CacheMode::off)
            line("cache",
                 "off for the whole process (LARDER_CACHE=off, or cache: off): nothing is answered from it; "
                 "writes still purge");
        if (told_.rule) {
            line("rule", name_of(*told_.rule) + ": " + told_.rule->match);
            values(told_.values);
        }
        verdict();
        if (told_.has_key) key(), life(), purgers();
        if (told_.is_write) write();
        others();
        return std::move(out_);
    }

  private:
    void line(std::string_view word, std::string_view text) { ((out_ += word) += ": ") += text, out_ += '\n'; }
    void more(std::string_view word, std::string_view text) { out_ += "  ", line(word, text); }

    void values(const std::vector<Explanation::Value>& values)
    {
        std::string text;
        for (const auto& [name, value] : values)
            (text += text.empty() ? "" : ", ") += name + (value ? " = " + quoted(*value) : " is absent");
        if (!text.empty()) line("values", text);
    }

    void others()
    {
        for (const auto& [rule, why] : told_.others) line("not", name_of(rule) + ": " + rule.match + "; " + why);
        if (told_.others_left_out > 0) line("not", std::to_string(told_.others_left_out) + " more rules, further off");
    }

    void verdict()
    {
        if (told_.looked_up) {
            line("verdict", "looked up; a miss is fetched and stored if the response allows it");
            for (const Reason& reason : told_.on_miss)
                line("on a miss", "forwarded and not stored (" + std::string(reason.word) + "); " + reason.text);
            if (!told_.client_directives.empty()) line("its Cache-Control", told_.client_directives);
            for (const Reason& reason : told_.would_pass_by) {
                line("would pass by", reason.detail + " (" + std::string(reason.word) + ")" +
                                          (reason.change.empty() ? "" : "; to change that: " + reason.change));
            }
            return;
        }
        // A write passes by as a matter of course; what matters is what it purges.
        const bool is_usual = told_.is_write && !told_.writes.empty();
        if (is_usual) return;
        const char* head = "verdict";
        for (const Reason& reason : told_.passes_by) {
            std::string text = std::string(head) == "verdict" ? "bypass (" : "(";
            text += std::string(reason.word) + "); " + reason.text;
            if (!reason.detail.empty()) text += ": " + quoted(reason.detail);
            line(head, text);
            if (!reason.change.empty()) line("to change that", reason.change);
            head = "and also";
        }
    }

    void key()
    {
        line("key", told_.key + "   from " + told_.key_template + (told_.key_is_default ? " (the default)" : "") +
                        (told_.looked_up ? "" : ", were it looked up"));
        for (const Explanation::KeyPart& part : told_.key_parts) {
            std::string text = is_printable(part.value) ? quoted(part.value) : part.escaped;
            if (part.fallback)
                text += ", the fallback: " + part.from + " is absent or empty";
            else if (part.escaped.empty())
                text += ": " + part.from + " is absent or empty";
            else
                text += " from " + part.from;
            if (part.escaped != part.value && is_printable(part.value)) text += ", escaped " + part.escaped;
            more(part.placeholder, text);
        }
    }

    void life()
    {
        std::string lifetimes;
        for (const auto& [statuses, ttl] : told_.lifetimes)
            (lifetimes += lifetimes.empty() ? "ttl " : ", ") += duration(ttl) + " for " + statuses;
        const bool override = told_.cache_control == CacheControlMode::override_;
        line("lifetime", lifetimes.empty() ? "what the response says; the rule has no ttl" : lifetimes);
        if (!lifetimes.empty())
            more("from", override ? "the rule, whatever the response says"
                                  : "the rule, for responses that do not say how long themselves");
        line("cache_control",
             override ? "override: the rule's ttl wins over Expires and Cache-Control (private, no-cache, max-age, "
                        "s-maxage); no-store is still obeyed"
                      : "respect: s-maxage, max-age or Expires of the response win over the rule's ttl; no-store and "
                        "private are never stored. The first of Larder-Cache-Control, CDN-Cache-Control, Cache-Control "
                        "(with Expires) that the response has decides alone");
        if (told_.client_cache_control)
            line("client_cache_control",
                 *told_.client_cache_control == ClientCacheControl::respect
                     ? "respect: no-cache, max-age, min-fresh, max-stale and only-if-cached of a request count"
                     : "ignore: what a request says about caching counts for nothing, but no-store keeps its own "
                       "answer out");
        for (const Reason& reason : told_.not_stored)
            line("not stored", reason.detail + " (" + std::string(reason.word) + ")" +
                                   (reason.change.empty() ? "" : "; to change that: " + reason.change));
        if (told_.stale_while_revalidate.count() > 0)
            line("stale", "served for " + duration(told_.stale_while_revalidate) + " more while it is fetched again");
        if (told_.stale_if_error.count() > 0)
            line("stale", "served for " + duration(told_.stale_if_error) +
                              " more while the upstream fails; never after a purge");
    }

    void purgers()
    {
        for (const Explanation::Purger& purger : told_.purged_by) {
            line("purged by", name_of(purger.rule) + ": " + purger.rule.match + " with " + quoted(purger.pattern));
            std::string example = purger.example;
            if (!purger.with.empty()) example += " with " + purger.with;
            if (purger.only_widened) example += ", only when a value of the pattern is missing, which widens it";
            more("such as", example);
        }
        if (told_.purged_by.empty())
            line("purged by", "no purge rule; the entry lives until its lifetime ends or it is purged by hand");
        line("purged also",
             "by any write to this very path that is answered with 2xx or 3xx (RFC 9111 4.4), by the "
             "groups in Cache-Groups of the response" +
                 std::string(told_.tags ? ", by its tags (Surrogate-Key, Cache-Tag, xkey)" : "") +
                 ", and by hand: larder purge --key");
    }

    void write()
    {
        for (const Explanation::Write& write : told_.writes) {
            line("purge rule", name_of(write.rule) + ": " + write.rule.match);
            values(write.values);
            for (const Explanation::Purge& purge : write.purges) one_purge(purge);
            line("fence", write.fence == Fence::both
                              ? "both: from before the write is forwarded until its answer, reads of these keys pass by"
                              : "after: purged when the answer has arrived");
            line("on_store_error", write.on_store_error == OnStoreError::reject
                                       ? "reject: 503 while the store is away, and the app is not asked"
                                       : "forward: while the store is away the write goes on, and the purge follows");
            if (write.settle.count() > 0)
                line("settle", "nothing is stored under these keys for " + duration(write.settle) + " after it");
            if (write.tags)
                line("tags", "Surrogate-Key, Cache-Tag and xkey of its answer purge what was stored with these tags");
        }
        if (!told_.writes.empty()) meanwhile();
        if (told_.writes.empty() && told_.voids.empty())
            return line("purges", "nothing; no purge rule matches this request, and no cache rule its own address");
        for (const auto& [text, exact] : told_.voids)
            line("voids", text + (exact ? "   one key" : "   every key that matches") +
                              ", its own address, when the answer is 2xx or 3xx (RFC 9111 4.4)");
        if (told_.writes.empty()) line("purges", "nothing else; no purge rule matches this request");
    }

    void one_purge(const Explanation::Purge& purge)
    {
        if (purge.left_out) return line("left out", quoted(purge.pattern) + ", because a value of the path is absent");
        line("purges", purge.text + (purge.exact ? "   one key" : "   every key that matches") + ", from " +
                           quoted(purge.pattern));
        if (!purge.widened_by.empty()) {
            std::string text;
            for (const std::string& one : purge.widened_by) (text += text.empty() ? "" : ", ") += one;
            text = "'*' stands for " + text + ", which is missing";
            if (purge.sees_body)
                text += "; the values of {body...} come from the write's JSON body, which explain does not see";
            if (purge.sees_response) text += "; those of {response...} from its response";
            line("widened", text);
        }
        line("reaches", purge.reaches.empty() ? "no rule's keys" : "keys of " + names_of(purge.reaches));
    }

    void meanwhile()
    {
        if (!told_.fenced) {
            line("meanwhile", "GETs are answered from the cache as before, until the write's answer has arrived");
            line("the price",
                 "such a GET may see the old answer or the new one, and when Larder dies between the app's "
                 "change and the purge the old answer stays for its lifetime; fence: both closes both");
            return;
        }
        if (told_.meanwhile.empty()) return line("meanwhile", "no GET passes by: the patterns fit no rule's key");
        line("meanwhile", "GETs of " + names_of(told_.meanwhile) +
                              " whose key fits pass by (write-open) and are not stored, in every "
                              "replica, for as long as this write is under way");
        line("to change that",
             std::string(told_.wide ? "narrow the patterns, or " : "") +
                 "fence: after in every purge rule of this write. It costs: a GET during the write may see "
                 "the old answer or the new one, and when Larder dies between the app's change and the purge "
                 "the old answer stays for its lifetime");
    }

    const Explanation& told_;
    std::string out_;
};

}  // namespace

std::string to_text(const Explanation& explanation) { return Page(explanation).run(); }

}  // namespace larder::rules
