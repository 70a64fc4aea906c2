#include "proxy/store/entry.hpp"

#include <malloc.h>
#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "rules/base/text.hpp"

namespace larder::proxy {
namespace {

// For each block glibc keeps the size in front of it, jemalloc less, elsewhere.
constexpr std::size_t block_header_bytes = 8;
// std::make_shared puts its two counters and a vtable pointer in front of the object.
constexpr std::size_t shared_header_bytes = 16;

std::size_t heap_bytes(const std::string& text) noexcept
{
    static const std::size_t inline_capacity = std::string{}.capacity();
    return text.capacity() > inline_capacity ? allocated_bytes(text.data()) : 0;
}

/// Memory behind an object, in the same block.
struct Room {
    std::size_t bytes;
    char* begin = nullptr;
    const void* block = nullptr;  // that it is in, with the object
};

/// Makes room for a single object and its `room`, which must live until it has.
template <class T>
struct RoomAllocator {
    using value_type = T;

    Room* room;

    explicit RoomAllocator(Room& r) noexcept : room(&r) {}
    template <class Other>
    RoomAllocator(const RoomAllocator<Other>& other) noexcept : room(other.room)
    {
    }
    T* allocate(std::size_t count)
    {
        const std::size_t own_bytes = count * sizeof(T);
        char* const block = static_cast<char*>(::operator new(own_bytes + room->bytes));
        room->begin = block + own_bytes;
        room->block = block;
        return reinterpret_cast<T*>(block);
    }
    void deallocate(T* block, std::size_t) noexcept { ::operator delete(block); }
    template <class Other>
    bool operator==(const RoomAllocator<Other>&) const noexcept
    {
        return true;
    }
};

std::size_t heap_bytes(const std::vector<std::string>& texts) noexcept
{
    if (texts.capacity() == 0) return 0;
    std::size_t sum = allocated_bytes(texts.data());
    for (const std::string& text : texts) sum += heap_bytes(text);
    return sum;
}

}  // namespace

std::size_t allocated_bytes(const void* block) noexcept
{
    return ::malloc_usable_size(const_cast<void*>(block)) + block_header_bytes;
}

EntryText& EntryText::operator=(std::string_view text)
{
    char* const copy = text.empty() ? nullptr : new char[text.size()];
    std::copy(text.begin(), text.end(), copy);
    drop();
    data_ = copy;
    size_ = static_cast<std::uint32_t>(text.size());
    is_own_ = copy != nullptr;
    return *this;
}

std::size_t EntryText::heap_bytes() const noexcept { return is_own_ ? allocated_bytes(data_) : 0; }

std::shared_ptr<Entry> Entry::with_room(std::size_t bytes)
{
    Room room{bytes};
    auto entry = std::allocate_shared<Entry>(RoomAllocator<Entry>(room));
    entry->room_ = room.begin;
    entry->room_bytes_ = bytes;
    entry->block_ = room.block;
    return entry;
}

std::string_view Entry::put(std::string_view text) noexcept
{
    const std::string_view there(room_, text.size());
    room_ = std::copy(text.begin(), text.end(), room_);
    room_bytes_ -= text.size();
    return there;
}

void Entry::put_body(std::string_view bytes)
{
    if (bytes.size() > room_bytes_) return set_body(std::string(bytes));
    share_body(put(bytes), nullptr, 0);
}

std::shared_ptr<Entry> Entry::keeping(std::unique_ptr<char[]> block, std::size_t bytes)
{
    struct Keeping : Entry {
        std::unique_ptr<char[]> kept;
    };
    const auto entry = std::make_shared<Keeping>();
    entry->kept = std::move(block);
    const std::size_t held_bytes = allocated_bytes(entry->kept.get()) + sizeof(entry->kept);
    entry->share_body({entry->kept.get(), bytes}, nullptr, held_bytes);
    return entry;
}

std::shared_ptr<Entry> Entry::copy_of(std::string_view bytes)
{
    std::shared_ptr<Entry> entry = with_room(bytes.size());
    entry->refer_body(entry->put(bytes));
    return entry;
}

void Entry::set_body(std::string bytes)
{
    auto owner = std::make_shared<const std::string>(std::move(bytes));
    const std::string_view body = *owner;
    const std::size_t held = proxy::heap_bytes(*owner) + sizeof(std::string) + shared_header_bytes + block_header_bytes;
    share_body(body, std::move(owner), held);
}

void Entry::share_body(std::string_view part, std::shared_ptr<const void> owner, std::size_t held_bytes)
{
    body_ = part;
    body_owner_ = std::move(owner);
    body_held_bytes_ = held_bytes;
}

void Entry::share_body(const std::shared_ptr<const Entry>& other)
{
    if (other->body_owner_) return share_body(other->body_, other->body_owner_, other->body_held_bytes_);
    share_body(other->body_, other, other->cost_bytes());
}

Validators Entry::validators() const noexcept
{
    Validators in_head;
    std::string_view rest = head;
    while (!rest.empty()) {  // the status line has no colon where a name would end
        const std::size_t end = rest.find('\n');
        const std::string_view line = rest.substr(0, end);
        rest = end == rest.npos ? std::string_view{} : rest.substr(end + 1);

        std::string_view* found = nullptr;
        std::size_t colon = 4;  // the lengths of the names tell them apart from nearly every other field
        if (line.size() > 4 && line[4] == ':') {
            if (rules::equals_ignoring_case(line.substr(0, 4), "etag"))
                found = &in_head.etag;
            else if (rules::equals_ignoring_case(line.substr(0, 4), "date"))
                found = &in_head.date;
        } else if (line.size() > 13 && line[13] == ':') {
            colon = 13;
            if (rules::equals_ignoring_case(line.substr(0, 13), "last-modified"))
                found = &in_head.last_modified;
            else if (rules::equals_ignoring_case(line.substr(0, 13), "content-range"))
                found = &in_head.content_range;
        }
        if (!found || !found->empty()) continue;
        std::string_view value = line.substr(colon + 1);
        if (!value.empty() && value.back() == '\r') value.remove_suffix(1);
        *found = rules::trim(value);
    }
    return in_head;
}

bool Entry::has_variant(const Entry& variant) const noexcept
{
    if (variant.generation != generation) return false;
    return variants.size() < variants_limit ||
           std::find(variants.begin(), variants.end(), variant.variant) != variants.end();
}

std::size_t Entry::cost_bytes() const noexcept
{
    const std::size_t own = block_ ? allocated_bytes(block_) : sizeof(Entry) + shared_header_bytes + block_header_bytes;
    std::size_t sum = own + store_node_bytes + body_held_bytes_;
    for (const EntryText* text : {&key, &variant, &head, &generation, &rule, &own_policy}) sum += text->heap_bytes();
    for (const auto* texts : {&vary_names, &variants, &groups}) sum += heap_bytes(*texts);
    return sum;
}

std::string storage_key(std::string_view key, std::string_view variant)
{
    std::string out;
    out.reserve(key.size() + (variant.empty() ? 0 : 1 + variant.size()));
    out += key;
    if (!variant.empty()) {
        out += '\n';
        out += variant;
    }
    return out;
}

std::string variant_digest(std::string_view vary_values)
{
    static constexpr char digits[] = "0123456789abcdef";
    unsigned char hash[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(vary_values.data()), vary_values.size(), hash);
    std::string out;
    out.reserve(32);
    for (std::size_t i = 0; i < 16; ++i) {
        out += digits[hash[i] >> 4];
        out += digits[hash[i] & 15];
    }
    return out;
}

}  // namespace larder::proxy
