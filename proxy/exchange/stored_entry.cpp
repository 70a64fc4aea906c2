#include "proxy/exchange/stored_entry.hpp"

#include <algorithm>

#include "proxy/exchange/heads.hpp"
#include "proxy/exchange/refuse.hpp"
#include "rules/base/appender.hpp"
#include "rules/http/conditional.hpp"
#include "rules/http/date.hpp"
#include "rules/http/fields.hpp"
#include "rules/key/groups.hpp"
#include "rules/verdict/judge_store.hpp"

namespace larder::proxy {

using rules::FieldId;
using rules::NotStored;

std::shared_ptr<Entry> make_entry(const Exchange& exchange, const rules::StoredTimes& times, std::string_view head,
                                  std::size_t body_bytes)
{
    const std::string_view rule = exchange.judgement.rule->name;
    auto entry = Entry::with_room(exchange.key.size() + rule.size() + head.size() + body_bytes);
    entry->times = times;
    entry->key.refer(entry->put(exchange.key));
    entry->rule.refer(entry->put(rule));
    entry->head.refer(entry->put(head));
    return entry;
}

void append_stored_length(std::string& head, int status, std::uint64_t body_bytes)
{
    rules::Appender out(head, 40);
    append_stored_length(out, status, body_bytes);
}

void append_stored_length(rules::Appender& out, int status, std::uint64_t body_bytes)
{
    if (status == 204) return;
    out += "Content-Length: ";
    out += body_bytes;
    out += "\r\n";
}

bool has_validator(const Entry& entry) noexcept
{
    const Validators held = entry.validators();
    return !held.etag.empty() || !held.last_modified.empty();
}

void note_lifetime(Exchange& exchange, const Entry& entry)
{
    exchange.explained_lifetime = entry.times.lifetime;
    exchange.explained_source = rules::word(rules::LifetimeSource::none);
    static const rules::HeadLimits no_limits{SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
    std::string head(entry.head);
    if (!entry.own_policy.empty()) head.append("Larder-Cache-Control: ").append(entry.own_policy).append("\r\n");
    head += "\r\n";
    rules::ResponseHead stored;
    if (rules::scan_response(head, no_limits, false, stored) != rules::Scan::ok) return;
    const rules::WallTime then = entry.times.stored;
    const rules::StoreJudgement judged =
        rules::judge_store(exchange.head, stored, *exchange.judgement.rule, then, then, entry.is_part());
    exchange.explained_source = rules::word(judged.lifetime_source);
}

rules::WallTime hard_expiry(const rules::StoredTimes& times, bool has_validator)
{
    const rules::Milliseconds left = std::max(rules::Milliseconds{0}, times.lifetime - times.initial_age);
    rules::Milliseconds extra = std::max(times.stale_while_revalidate, times.stale_if_error);
    if (has_validator) {
        constexpr rules::Milliseconds least{10'000}, most{3'600'000}, asked_each_time{600'000};
        const bool always = times.always_revalidate || left.count() == 0;
        extra = std::max(extra, std::clamp(left, always ? asked_each_time : least, most));
    }
    return times.stored + left + extra;
}

Renewed renew_entry(const Exchange& exchange, const EntryPtr& known, const rules::Fields& fields,
                    rules::WallTime requested, rules::WallTime received)
{
    Renewed renewed;
    const Entry& stored = *known;
    static const rules::HeadLimits no_limits{SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
    const std::string stored_head = std::string(stored.head) + "\r\n";
    rules::ResponseHead old;
    if (rules::scan_response(stored_head, no_limits, false, old) != rules::Scan::ok) return renewed;
    // The update is of now: without a date of its own it may not count as being as old as what is stored (RFC 9110
    // §6.6.1).
    rules::Fields update = fields;
    const std::string date = rules::format_date(received);
    if (!update.has(FieldId::date)) update.all.push_back({"Date", date, FieldId::date});
    std::string head = stored_head.substr(0, stored_head.find("\r\n") + 2);  // the status line
    head += rules::merge_not_modified(old.fields, update);

    const std::string own_policy = update.has(FieldId::larder_cache_control)
                                       ? rules::combined_value(update, FieldId::larder_cache_control)
                                       : std::string(stored.own_policy);
    // What is judged beside the stored fields, and not stored with them.
    std::string judged_head = head;
    if (!own_policy.empty()) judged_head += "Larder-Cache-Control: " + own_policy + "\r\n";
    if (const std::string age = rules::combined_value(update, FieldId::age); !age.empty())
        judged_head += "Age: " + age + "\r\n";
    judged_head += "\r\n";
    rules::ResponseHead merged;
    if (rules::scan_response(judged_head, no_limits, false, merged) != rules::Scan::ok) return renewed;
    const rules::Rule& rule = *exchange.judgement.rule;
    const rules::StoreJudgement judged =
        rules::judge_store(exchange.head, merged, rule, requested, received, stored.is_part());
    renewed.reason = judged.reason;
    auto entry = make_entry(exchange, judged.times, head);
    entry->status = stored.status;
    entry->own_policy = own_policy;
    entry->share_body(known);
    entry->variant = stored.variant;
    entry->vary_names = stored.vary_names;
    entry->generation = stored.generation;
    entry->groups = rules::groups_of(merged.fields, exchange.head.authority, rule.tags_of_response);
    entry->expires = hard_expiry(judged.times, has_validator(*entry));
    renewed.vary = rules::parse_vary(merged.fields);
    const auto& names = renewed.vary.names;
    renewed.varies_as_before =
        std::includes(stored.vary_names.begin(), stored.vary_names.end(), names.begin(), names.end());
    renewed.entry = std::move(entry);
    return renewed;
}

bool serves_part(const Exchange& exchange, const Entry& part)
{
    const rules::Fields& fields = exchange.head.fields;
    if (exchange.head.method != rules::Method::get || !rules::asks_one_range(fields)) return false;
    const Validators validators = part.validators();
    if (!rules::if_range_holds(fields, validators.etag, validators.last_modified, validators.date, exchange.now))
        return false;
    const auto held = rules::parse_content_range(validators.content_range);
    if (!held) return false;
    const rules::SelectedRanges asked = rules::select_ranges(fields, held->size);
    if (asked.kind == rules::SelectedRanges::Kind::unsatisfiable) return true;
    return asked.kind == rules::SelectedRanges::Kind::parts && held->range.contains(asked.ranges.front());
}

bool finish_part(Entry& entry, const Entry* before, std::uint64_t max_object)
{
    const Validators ours = entry.validators(), theirs = before ? before->validators() : Validators();
    auto place = rules::parse_content_range(ours.content_range);
    if (!place || entry.body().size() != place->range.size()) return false;
    const auto other = before && rules::strongly_equal(ours.etag, theirs.etag)
                           ? rules::parse_content_range(theirs.content_range)
                           : std::nullopt;
    if (other) {
        std::string bytes;
        const auto joined = rules::join_parts(*place, entry.body(), *other, before->body(), bytes);
        if (joined && bytes.size() <= max_object) {
            place = joined;
            entry.set_body(std::move(bytes));
        }
    }
    std::string head;
    entry.status = place->is_whole() ? 200 : 206;
    append_status_line(head, entry.status, reason_phrase(entry.status));
    for_each_line(entry.head, [&](FieldId id, std::string_view line) {
        if (id != FieldId::content_range && id != FieldId::content_length) head += line;
    });
    if (entry.is_part()) rules::append_content_range(head, *place);
    append_stored_length(head, entry.status, entry.body().size());
    entry.head = head;
    return true;
}

}  // namespace larder::proxy
