// A fill without a coroutine, as long as it is one write and one read, and with Redis the lease before them and the
// store behind them. Whatever goes otherwise goes on in `run_on` (filling.cpp) from where it stands.
#include "proxy/exchange/filling.hpp"
#include "proxy/exchange/fleet_fill.hpp"

namespace larder::proxy {

using rules::BodyKind;
using rules::Errc;
using rules::NotStored;

bool Filling::begin_at_once(Completion<bool>& waiting)
{
    if (request_.stale || request_.terms.range || request_.terms.alone || !fill_.may_store) return false;
    waiting_ = &waiting;
    if (!is_shared(services_, request_)) return send_at_once();
    name_lease(request_);
    return services_.cache.begin_lease(request_.lease, fill_.token, request_.seen, *this);
}

/// The lease has been asked for.
void Filling::complete(Leased&& leased)
{
    bool is_sent = false;
    try {
        if (settles(services_, request_, leased)) {
            services_.counters.add(Counter::leases_won);
            is_sent = send_at_once();
        } else {
            request_.leased = std::move(leased);
        }
    } catch (...) {  // nobody may be left waiting for it
        Tasks::report("fill", std::current_exception());
        fill_.fail(Errc::upstream_closed);
        phase_ = Phase::ended;
    }
    if (!is_sent) waiting_->complete(false);
}

bool Filling::send_at_once()
{
    phase_ = Phase::head;
    services_.counters.add(Counter::fills);
    send(nullptr);
    if (sent_ != Errc::ok) return false;
    read_ = fetch_->take_head(false);
    if (read_) return false;
    fetch_->when_head_comes(*waiting_);
    return true;
}

/// Has the answer come as most do: whole, and with nothing that has to be waited for first?
bool Filling::may_take_at_once(bool ready)
{
    if (phase_ != Phase::head || sent_ != Errc::ok || read_) return false;
    has_waited_ = true;
    read_ = fetch_->take_head(false, ready);
    const rules::ResponseHead& head = fetch_->head();
    if (read_ != Errc::ok || head.status < 200) return false;
    if (head.body != BodyKind::none && !fetch_->has_whole_body()) return false;
    return services_.cache.embedded() || !services_.cache.behind_own_writes(fill_.key);
}

bool Filling::take_answer_at_once(bool ready)
{
    std::exception_ptr bug;
    try {
        if (!may_take_at_once(ready)) return false;
        note_answer();
        phase_ = Phase::ended;
        if (!judge()) return false;
        take_whole_body();
        describe_whole();
        if (!services_.cache.embedded()) {
            const bool fenced = is_overtaken();
            fill_.complete(entry_, 0, false, fenced ? NotStored::fenced : NotStored::none);
            if (!fenced) phase_ = Phase::store;
            return !fenced;
        }
        fill_.complete(entry_, 0, false, store_here());
    } catch (...) {  // nobody may be left waiting for it
        bug = std::current_exception();
        fill_.fail(Errc::upstream_closed);
        phase_ = Phase::ended;
    }
    if (!bug) {
        end();
        return true;
    }
    Tasks::report("fill", bug);
    return false;
}

void Filling::store_behind(std::unique_ptr<Filling> filling)
{
    Filling& self = *filling;
    Services& services = self.services_;
    self.hold_.emplace(services.tasks);
    Completion<NotStored>& done = self;
    const bool is_begun =
        !self.new_index_ && services.cache.begin_store(self.entry_, self.fill_.token, self.request_.lease, done);
    if (is_begun)
        filling.release();
    else
        services.tasks.spawn("fill", run_filling(std::move(filling)));
}

/// The shared store has it, or not. What is left after that is for a coroutine: to give back a lease that it has not
/// ended.
void Filling::complete(NotStored&& refused)
{
    std::unique_ptr<Filling> self(this);
    if (refused != NotStored::none) services_.counters.add_not_stored(exchange_.count.rule, refused);
    phase_ = Phase::ended;
    if (!owes_lease(services_, request_)) return end();
    services_.tasks.spawn("fill", run_filling(std::move(self)));
}

void Filling::abandon() noexcept
{
    if (phase_ != Phase::store) return waiting_->abandon();
    const std::unique_ptr<Filling> self(this);
    end();
}

}  // namespace larder::proxy
