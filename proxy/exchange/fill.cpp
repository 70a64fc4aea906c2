#include "proxy/exchange/fill.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "proxy/coherence/guards.hpp"
#include "proxy/net/clock.hpp"

namespace larder::proxy {

namespace {

constexpr std::size_t segment_cost_bytes = sizeof(Fill::Segment) + 24;  // with its counters and the allocator's header

}  // namespace

// --- Fill ------------------------------------------------------------------------------------------------------------

Fill::View Fill::look(std::uint64_t body_from, std::size_t interim_from) const
{
    const std::lock_guard lock(mutex_);
    View view = now_;
    if (interim_from < interim_.size()) view.interim = interim_.substr(interim_from);
    std::uint64_t at = 0;
    for (const SegmentPtr& segment : segments_) {
        if (at + segment->size > body_from) {
            const std::size_t skip = body_from > at ? static_cast<std::size_t>(body_from - at) : 0;
            view.news.emplace_back(segment, std::string_view(segment->bytes.get() + skip, segment->size - skip));
        }
        at += segment->size;
    }
    return view;
}

bool Fill::subscribe(WakeUp& waiter, State seen, std::uint64_t body_seen, std::size_t interim_seen)
{
    const std::lock_guard lock(mutex_);
    if (now_.state != seen || now_.received != body_seen || interim_.size() != interim_seen) return false;
    waiters_.push_back(&waiter);
    return true;
}

bool Fill::subscribe(WakeUp& waiter, State seen)
{
    const std::lock_guard lock(mutex_);
    if (now_.state != seen) return false;
    waiters_.push_back(&waiter);
    return true;
}

void Fill::unsubscribe(WakeUp& waiter) noexcept
{
    const std::lock_guard lock(mutex_);
    std::erase(waiters_, &waiter);
}

void Fill::wake_all()
{
    for (WakeUp* waiter : waiters_) waiter->wake();
    waiters_.clear();
}

void Fill::add_interim(std::string_view head)
{
    const std::lock_guard lock(mutex_);
    interim_ += head;
    wake_all();
}

void Fill::start(std::shared_ptr<const Entry> meta, bool length_known, std::uint64_t length, std::size_t reserve_bytes,
                 rules::NotStored so_far)
{
    const std::lock_guard lock(mutex_);
    now_.state = State::streaming;
    now_.meta = std::move(meta);
    now_.length_known = length_known;
    now_.length = length;
    now_.not_stored = so_far;
    if (reserve_bytes != 0) {
        auto segment = std::make_shared<Segment>();
        segment->bytes = std::make_unique_for_overwrite<char[]>(reserve_bytes);
        segment->capacity = reserve_bytes;
        segments_.push_back(std::move(segment));
    }
    wake_all();
}

void Fill::append(std::string_view body)
{
    const std::lock_guard lock(mutex_);
    now_.received += body.size();
    while (!body.empty()) {
        if (segments_.empty() || segments_.back()->size == segments_.back()->capacity) {
            const std::size_t last = segments_.empty() ? 8 * 1024 : segments_.back()->capacity;
            auto segment = std::make_shared<Segment>();
            segment->capacity = std::max(body.size(), std::min<std::size_t>(last * 2, 256 * 1024));
            segment->bytes = std::make_unique_for_overwrite<char[]>(segment->capacity);
            segments_.push_back(std::move(segment));
        }
        Segment& segment = *segments_.back();
        const std::size_t n = std::min(body.size(), segment.capacity - segment.size);
        std::memcpy(segment.bytes.get() + segment.size, body.data(), n);
        segment.size += n;
        body.remove_prefix(n);
    }
    wake_all();
}

void Fill::give_body(Entry& entry)
{
    const std::lock_guard lock(mutex_);
    if (segments_.size() == 1 && segments_.front()->size == segments_.front()->capacity) {
        const SegmentPtr& only = segments_.front();
        entry.share_body({only->bytes.get(), only->size}, only,
                         allocated_bytes(only->bytes.get()) + segment_cost_bytes);
        return;
    }
    std::string body;
    body.reserve(static_cast<std::size_t>(now_.received));
    for (const SegmentPtr& segment : segments_) body.append(segment->bytes.get(), segment->size);
    entry.set_body(std::move(body));
}

std::uint64_t Fill::received() const
{
    const std::lock_guard lock(mutex_);
    return now_.received;
}

void Fill::complete(std::shared_ptr<const Entry> whole, int forward_status, bool stale_on_error,
                    rules::NotStored reason)
{
    const std::lock_guard lock(mutex_);
    now_.state = State::complete;
    now_.whole = std::move(whole);
    now_.forward_status = forward_status;
    now_.stale_on_error = stale_on_error;
    now_.not_stored = reason;
    wake_all();
}

void Fill::release(rules::NotStored reason, std::unique_ptr<Fetch> fetch)
{
    const std::lock_guard lock(mutex_);
    now_.state = State::released;
    now_.not_stored = reason;
    if (leader_) fetch_ = std::move(fetch);
    wake_all();
}

void Fill::fail(rules::Errc error)
{
    const std::lock_guard lock(mutex_);
    if (now_.state == State::streaming) now_.not_stored = rules::NotStored::incomplete;
    now_.state = State::failed;
    now_.error = error;
    wake_all();
}

void Fill::release_all(rules::NotStored reason)
{
    const std::lock_guard lock(mutex_);
    now_.state = State::released;
    now_.not_stored = reason;
    now_.known_uncacheable = true;
    wake_all();
}

void Fill::leave_to_others(bool waited)
{
    const std::lock_guard lock(mutex_);
    now_.state = State::elsewhere;
    now_.waited = waited;
    wake_all();
}

void Fill::name_fetch(SpanLink span)
{
    const std::lock_guard lock(mutex_);
    fetch_span_ = span;
}

SpanLink Fill::fetch_span() const
{
    const std::lock_guard lock(mutex_);
    return fetch_span_;
}

std::unique_ptr<Fetch> Fill::take_fetch()
{
    const std::lock_guard lock(mutex_);
    return std::move(fetch_);
}

void Fill::leader_left() noexcept
{
    std::unique_ptr<Fetch> abandoned;
    const std::lock_guard lock(mutex_);
    leader_ = false;
    abandoned = std::move(fetch_);
}

bool Fill::has_leader() const noexcept
{
    const std::lock_guard lock(mutex_);
    return leader_;
}

// --- Fills -----------------------------------------------------------------------------------------------------------

std::size_t Fills::Hash::operator()(std::string_view key) const noexcept { return XXH3_64bits(key.data(), key.size()); }

Fills::Shard::~Shard()
{
    while (!under_way.empty()) take_out(*under_way.begin());
}

void Fills::Shard::take_out(Fill& fill)
{
    under_way.erase(under_way.iterator_to(fill));
    fill.is_under_way_.reset();  // it may have been the last one who kept it
}

void Fills::end(Fill& fill)
{
    Shard& here = shard(fill.hash_);
    const std::lock_guard lock(here.mutex);
    if (fill.under_way_.is_linked()) here.take_out(fill);
}

Fills::Unsent Fills::join_unsent(const std::string& stored_as, const std::function<std::shared_ptr<Fill>()>& make)
{
    Shard& here = shard(Hash{}(stored_as));
    const std::lock_guard lock(here.mutex);
    Pair& pair = here.unsent[stored_as];
    if (pair.under_way && !guarded(Guard::unsent)) return {pair.under_way, false, nullptr};
    if (pair.next) return {pair.next, false, nullptr};
    auto& slot = pair.under_way ? pair.next : pair.under_way;
    slot = make();
    return {slot, true, pair.next ? pair.under_way : nullptr};
}

void Fills::send_unsent(const std::shared_ptr<Fill>& fill)
{
    Shard& here = shard(Hash{}(fill->stored_as));
    const std::lock_guard lock(here.mutex);
    Pair& pair = here.unsent[fill->stored_as];
    if (pair.next == fill) pair.next = nullptr;
    pair.under_way = fill;
}

void Fills::end_unsent(const Fill& fill)
{
    Shard& here = shard(Hash{}(fill.stored_as));
    const std::lock_guard lock(here.mutex);
    const auto found = here.unsent.find(fill.stored_as);
    if (found == here.unsent.end()) return;
    Pair& pair = found->second;
    if (pair.next.get() == &fill) pair.next = nullptr;
    if (pair.under_way.get() == &fill) pair.under_way = nullptr;
    if (!pair.next && !pair.under_way) here.unsent.erase(found);
}

std::size_t Fills::under_way() const
{
    std::size_t count = 0;
    for (const Shard& here : shards_) {
        const std::lock_guard lock(here.mutex);
        count += here.under_way.size();
    }
    return count;
}

}  // namespace larder::proxy
