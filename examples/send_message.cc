// The smallest program with Weft: shows the devices, connects to itself and sends a message over all paths.
#include <cstdio>
#include <stdexcept>

#include "weft/context.h"

template <typename T>
T checked(weft::Result<T> result) {
  if (!result)
    throw std::runtime_error(result.status().message());  // it says what happened, where, what to do
  return std::move(*result);
}

int main() {
  auto context = checked(weft::Context::create(checked(weft::Config::from_environment()), {}));
  for (const auto& device : context->devices())
    std::printf("%s %s\n", device.name.c_str(), device.address.c_str());

  auto listener = checked(context->listen());
  auto connector = checked(context->connect(listener->address()));  // carried to another process by any means
  std::unique_ptr<weft::Connection> sender, receiver;
  while (!sender || !receiver) {  // no call blocks
    if (!sender) sender = checked(connector->poll());
    if (!receiver) receiver = checked(listener->accept());
  }

  std::string message = "over, under and along many ways", arrived(1024, ' ');
  auto receive = receiver->post_receive(arrived.data(), arrived.size(), /*tag=*/0);
  auto send = sender->post_send(message.data(), message.size(), /*tag=*/0);
  weft::Completion received, sent;
  while (!received.done || !sent.done) {
    if (!received.done) received = receiver->test(receive);
    if (!sent.done) sent = sender->test(send);
  }
  arrived.resize(received.bytes);
  std::printf("%zu bytes over %zu paths: %s\n", received.bytes, sender->statistics().paths.size(),
              arrived.c_str());
  return arrived == message ? 0 : 1;
}
