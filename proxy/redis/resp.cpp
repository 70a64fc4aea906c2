#include "proxy/redis/resp.hpp"

#include <hiredis/hiredis.h>

#include <charconv>
#include <exception>
#include <new>

namespace larder::proxy {

namespace {

constexpr int elements_limit = 1'000'000;

Reply* place(const redisReadTask* task) noexcept
{
    if (!task->parent) return static_cast<Reply*>(task->privdata);
    return &static_cast<Reply*>(task->parent->obj)->elements[static_cast<std::size_t>(task->idx)];
}

// The reader's callbacks. The bytes are copied here: they are dead once redisReaderGetReply returns. No exception may
// pass through C; null makes the reader fail, which closes the connection.
void* make_string(const redisReadTask* task, char* bytes, std::size_t size) noexcept
try {
    Reply* reply = place(task);
    reply->kind = task->type == REDIS_REPLY_ERROR    ? Reply::Kind::error
                  : task->type == REDIS_REPLY_STATUS ? Reply::Kind::status
                                                     : Reply::Kind::text;
    reply->text.assign(bytes, size);
    return reply;
} catch (const std::exception&) {
    return nullptr;
}

void* make_array(const redisReadTask* task, int elements) noexcept
try {
    if (elements < 0 || elements > elements_limit) return nullptr;
    Reply* reply = place(task);
    reply->kind = Reply::Kind::array;
    reply->elements.resize(static_cast<std::size_t>(elements));
    return reply;
} catch (const std::exception&) {
    return nullptr;
}

void* make_integer(const redisReadTask* task, long long value) noexcept
{
    Reply* reply = place(task);
    reply->kind = Reply::Kind::integer;
    reply->integer = value;
    return reply;
}

void* make_nil(const redisReadTask* task) noexcept
{
    Reply* reply = place(task);
    reply->kind = Reply::Kind::nil;
    return reply;
}

void free_nothing(void*) noexcept {}

redisReplyObjectFunctions reply_functions{make_string, make_array, make_integer, make_nil, free_nothing};

void append_number(std::string& out, char kind, std::size_t number)
{
    char digits[24];
    digits[0] = kind;
    char* end = std::to_chars(digits + 1, digits + sizeof digits - 2, number).ptr;
    *end++ = '\r';
    *end++ = '\n';
    out.append(digits, end);
}

}  // namespace

void append_command(std::string& out, std::span<const std::string_view> args)
{
    append_number(out, '*', args.size());
    for (const std::string_view arg : args) {
        append_number(out, '$', arg.size());
        out.append(arg).append("\r\n");
    }
}

bool append_login(std::string& out, std::string_view user, std::string_view password)
{
    if (!user.empty()) {
        const std::string_view auth[] = {"AUTH", user, password};
        append_command(out, auth);
        return true;
    }
    if (password.empty()) return false;
    const std::string_view auth[] = {"AUTH", password};
    append_command(out, auth);
    return true;
}

void ReplyReader::Deleter::operator()(redisReader* reader) const noexcept { redisReaderFree(reader); }

void ReplyReader::reset()
{
    reader_.reset(redisReaderCreateWithFunctions(&reply_functions));
    if (!reader_) throw std::bad_alloc();
    reader_->maxbuf = 0;  // else its buffer is given back and made anew around each large value
    reader_->privdata = &root_;
    root_ = Reply{};
}

bool ReplyReader::feed(std::string_view bytes)
{
    return redisReaderFeed(reader_.get(), bytes.data(), bytes.size()) == REDIS_OK;
}

bool ReplyReader::next(Reply& reply)
{
    void* done = nullptr;
    if (redisReaderGetReply(reader_.get(), &done) != REDIS_OK || !done) return false;
    reply = std::move(root_);
    root_ = Reply{};
    return true;
}

bool ReplyReader::failed() const noexcept { return reader_->err != 0; }

}  // namespace larder::proxy
