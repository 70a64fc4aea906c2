// The fetch of a fill, from request to stored entry: what happens behind those who read its answer (collapse.cpp).
#pragma once

#include <memory>
#include <optional>

#include "proxy/exchange/fill.hpp"
#include "rules/verdict/judge_store.hpp"

namespace larder::proxy {

/// Everything a fill needs: values only, so that it outlives the client that asked first.
struct FillRequest {
    std::shared_ptr<Fill> fill;
    ExchangePtr exchange;
    std::string variant;     // that the lookup chose; empty: none known
    EntryPtr stale;          // of the same variant; null: none
    EntryPtr index;          // of variants; null: none known
    rules::WallTime seen{};  // when what the store has, and cannot be used, was stored
    bool refresh = false;    // nobody waits for it
    FillTerms terms;
    FillLease lease;                                        // of the key, for all replicas
    std::optional<Leased> leased;                           // what asking for it has said, not heeded yet
    rules::NotStored uncacheable = rules::NotStored::none;  // the answer is not storable, nor is the next one likely
};

/// One fetch that is to be stored, from the request to the stored entry; nobody's leaving ends it while it can be
/// stored. Runs on one worker. Ends the fill for its readers and for `Services::fills`, whatever happens.
class Filling final : private Completion<Leased>, private Completion<rules::NotStored> {
  public:
    Filling(Services& services, FillRequest&& request);
    Filling(const Filling&) = delete;
    Filling& operator=(const Filling&) = delete;
    ~Filling() = default;

    /// Goes on to its end; also with what `run_for_leader` has begun.
    asio::awaitable<void> run() { return run_on(false); }
    /// Goes on until the leader has something to do meanwhile: to hand out an interim head, a body that is still
    /// coming, or an answer that the shared store has not got yet. Most answers arrive whole: then it has ended.
    asio::awaitable<void> run_for_leader() { return run_on(true); }
    bool has_ended() const noexcept { return has_ended_; }

    /// The usual case without a coroutine, where nothing is stored yet: asks for the lease if it is shared, and sends
    /// the request. `waiting` is told later, never from within; then `take_answer_at_once`. When one of the two says
    /// false, `run_for_leader` goes on from there.
    bool begin_at_once(Completion<bool>& waiting);
    /// Takes an answer that has come whole: the readers have it then. It is stored already, and the fill has ended, or
    /// that is left to `store_behind`.
    bool take_answer_at_once(bool ready);
    /// Brings it to the shared store, behind the answer.
    static void store_behind(std::unique_ptr<Filling> filling);

    /// Ends it without a fetch: its readers know how to go on.
    void end() noexcept;

  private:
    enum class Phase : std::uint8_t { request, head, body, whole, store, ended };

    void complete(Leased&& leased) override;
    void complete(rules::NotStored&& refused) override;
    void abandon() noexcept override;
    bool send_at_once();
    bool may_take_at_once(bool ready);
    asio::awaitable<void> run_on(bool for_leader);
    void note_answer();
    bool is_overtaken() const;
    void send(const Entry* condition);
    asio::awaitable<void> end_failed(rules::Errc error);
    asio::awaitable<bool> may_stand_in();
    asio::awaitable<void> renew();
    bool judge();
    void begin_body();
    void take_whole_body();
    void end_body();
    asio::awaitable<rules::NotStored> finish_range();
    void describe_whole();
    void date_index();
    rules::NotStored store_here();
    asio::awaitable<rules::NotStored> store();
    void name_variant(rules::VarySpec spec, Entry& entry);
    void remember_uncacheable(rules::NotStored reason);
    void release(rules::NotStored reason);

    Services& services_;
    FillRequest request_;
    Fill& fill_;
    Exchange& exchange_;
    Phase phase_ = Phase::request;  // ended: nothing is left but to say so
    bool has_ended_ = false;
    Completion<bool>* waiting_ = nullptr;  // of `begin_at_once`
    std::optional<Tasks::Hold> hold_;      // while it is stored behind the answer, and belongs to itself

    std::unique_ptr<Fetch> fetch_;
    std::string head_text_;             // the request's, until an answer has come: then the one that is stored
    const Entry* condition_ = nullptr;  // the stored response to be validated; null: the request is unconditional
    std::optional<rules::Errc> sent_;   // empty: not all of the request
    std::optional<rules::Errc> read_;   // what a look at the answer has said that nobody has heeded yet
    bool has_waited_ = false;           // for the answer, and looked
    int interim_count_ = 0;
    rules::WallTime requested_{}, received_{};
    rules::StoreJudgement judged_;
    std::shared_ptr<Entry> entry_;      // first without its body, then with it
    std::shared_ptr<Entry> new_index_;  // to be stored before it; null: none
};

/// For a spawned task: owns what it runs.
asio::awaitable<void> run_filling(std::unique_ptr<Filling> filling);

/// The same for a fetch of `Fills::join_unsent`, which is not stored.
/// @param after  the one under way, to be waited for, but not for longer than another's fill; null: none
asio::awaitable<void> run_shared_pass(Services& services, FillRequest request, std::shared_ptr<Fill> after);

}  // namespace larder::proxy
