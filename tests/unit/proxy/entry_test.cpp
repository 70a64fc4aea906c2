#include "proxy/store/entry.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace larder::proxy;

TEST_CASE("a text of an entry is a copy when it is assigned, and a view when it refers")
{
    std::string outside = "of somebody else";
    Entry entry;
    entry.head = outside;
    entry.key.refer(outside);
    outside[0] = 'O';
    CHECK(entry.head == "of somebody else");
    CHECK(entry.key == "Of somebody else");
    CHECK(entry.key.heap_bytes() == 0);
    CHECK(entry.head.heap_bytes() >= outside.size());

    entry.head = entry.head;
    CHECK(entry.head == "of somebody else");
    entry.key = entry.head;
    entry.head.refer({});
    CHECK(entry.key == "of somebody else");
    CHECK(entry.head.empty());
}

TEST_CASE("texts and body of an entry with room stand in the one block that is counted")
{
    const std::string key = "item:1", body(1000, 'b');
    const auto entry = Entry::with_room(key.size() + body.size());
    entry->key.refer(entry->put(key));
    entry->put_body(body);
    CHECK(entry->room() == 0);
    CHECK(entry->key == key);
    CHECK(entry->body() == body);
    CHECK(entry->body().data() == entry->key.data() + key.size());
    const std::size_t needed = sizeof(Entry) + key.size() + body.size();
    CHECK(entry->cost_bytes() >= needed);
    CHECK(entry->cost_bytes() < needed + 512);
}

TEST_CASE("a body that the room is too small for gets memory of its own")
{
    const std::string body(100, 'b');
    const auto entry = Entry::with_room(99);
    const std::size_t without = entry->cost_bytes();
    entry->put_body(body);
    CHECK(entry->body() == body);
    CHECK(entry->room() == 99);
    CHECK(entry->cost_bytes() >= without + body.size());
}

TEST_CASE("a body that is shared outlives the entry it came with, and is not kept alive by those it went through")
{
    std::weak_ptr<Entry> first_alive, second_alive;
    const auto third = std::make_shared<Entry>();
    {
        const auto first = Entry::with_room(4);
        first->put_body("body");
        const auto second = std::make_shared<Entry>();
        second->share_body(first);
        third->share_body(second);
        first_alive = first;
        second_alive = second;
    }
    CHECK(third->body() == "body");
    CHECK(!first_alive.expired());
    CHECK(second_alive.expired());
    CHECK(third->cost_bytes() > first_alive.lock()->cost_bytes());
}
