// The Lua that runs inside Redis: the steps of the protocol that must be one (COHERENCE section 2). Each touches one
// slot.
#pragma once

#include <boost/container/small_vector.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/net/waiter.hpp"
#include "proxy/redis/link.hpp"

namespace larder::proxy {

/// A script and the name Redis knows it by.
class Script {
  public:
    Script(std::string text, StoreOperation operation);
    StoreOperation operation() const noexcept { return operation_; }
    const std::string& text() const noexcept { return text_; }
    const std::string& sha1() const noexcept { return sha1_; }

  private:
    std::string text_;
    std::string sha1_;  // 40 hex digits
    StoreOperation operation_;
};

/// KEYS q s p, entries..., leases...  ARGV type write-id life-ms retain-ms max-records max-patterns patterns-count
/// patterns... keys...  Appends one record and unlinks the exact entries. Gives {previous, position}.
const Script& purge_script();

/// KEYS entry new q s lease  ARGV token owner key brief-key groups...  Stores what stands under `new`, with its expiry,
/// unless the log speaks against it; `new` is gone afterwards. (A value in ARGV would be hashed and copied byte by
/// byte: 2 µs for each KiB, while Redis stands still.) Records name a long key (or group) by its digest, those of an
/// older version in full. Frees the lease if it is the owner's, whatever becomes of the entry; what is stored ends
/// "known as uncacheable". Gives the log's position, or one of: nolog gap fenced newer, or gone:
/// nothing stands under `new`.
const Script& store_script();

/// KEYS q s p conf  ARGV run-id retain-ms layout.  Raises the floor unless this very server is known to remember
/// everything. Writes the layout down where there is none yet. Gives {position, server's time in microseconds, 1 if the
/// floor was raised, the layout that is written there}; with another layout nothing is touched.
const Script& init_script();

/// KEYS entry q lease  ARGV owner life-ms seen doomed.  Takes the fill lease of a key if nobody else has it.
/// `seen`: when the response was stored (ms) that the caller knows and cannot use; `doomed`: an owner whose lease
/// counts for nothing. Gives {ours, position}, {stored, position, its time}: a response that the caller does not know,
/// {taken, position, by whom}, or {uncacheable, position, ms left, why}.
const Script& lease_script();

/// KEYS lease  ARGV owner why life-ms.  With a reason: writes down that the key is uncacheable. Else frees the lease if
/// it is the owner's; owner `U`: forgets that the key is uncacheable. Gives 1 if anything was changed.
const Script& release_script();

/// One call of a script: EVALSHA, and EVAL when the server does not know the script yet. From `send` on it belongs to
/// itself: who derives from it ends it in `on_reply` and in `abandon`.
class ScriptCall : public LinkOperation {
  public:
    ScriptCall(const ScriptCall&) = delete;
    ScriptCall& operator=(const ScriptCall&) = delete;
    virtual ~ScriptCall() = default;

    /// False: not sent, nothing comes; why: `Link::send_error()`.
    bool send();

  protected:
    using Arguments = boost::container::small_vector<std::string_view, 16>;
    ScriptCall(Link& link, const Script& script) : LinkOperation(script.operation()), link_(link), script_(script) {}
    /// Adds the number of keys, the keys and the arguments. Called within `send`, and once more for EVAL; what they
    /// point to must live until the next call.
    virtual void add_arguments(Arguments& args) = 0;
    /// Adds a command that leaves before the script's, if there is one. Called once within `send`, after
    /// `add_arguments`.
    virtual void add_first(Arguments&) {}
    /// Errors as of `Link::execute`, and store_refused for an error reply.
    virtual void on_reply(rules::Result<Reply>&& reply) = 0;

  private:
    void complete(rules::Result<Reply>&& reply) final;

    Link& link_;
    const Script& script_;
    bool with_text_ = false;
};

/// A script call that somebody waits for.
template <class Value>
class AnsweredCall : public ScriptCall {
  public:
    /// True: it belongs to itself from now on.
    static bool begin(std::unique_ptr<AnsweredCall> call)
    {
        if (!call->send()) return false;
        call.release();
        return true;
    }

  protected:
    AnsweredCall(Link& link, const Script& script, Completion<Value>& done) : ScriptCall(link, script), done_(done) {}
    virtual Value understand(rules::Result<Reply>&& reply) = 0;

  private:
    void on_reply(rules::Result<Reply>&& reply) final
    {
        const std::unique_ptr<AnsweredCall> self(this);
        done_.complete(understand(std::move(reply)));
    }
    void abandon() noexcept final
    {
        const std::unique_ptr<AnsweredCall> self(this);
        done_.abandon();
    }

    Completion<Value>& done_;
};

/// The same for coroutines.
/// @param args  number of keys, keys, arguments; what they point to must live in the awaiting frame
asio::awaitable<rules::Result<Reply>> run_script(Link& link, const Script& script, std::vector<std::string_view> args);

}  // namespace larder::proxy
