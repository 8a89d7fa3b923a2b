//! Compiles `proto/` to Rust without a system protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../proto");
    let descriptors = protox::compile(
        [
            "headwater/v1/log.proto",
            "headwater/v1/recovery.proto",
            "headwater/v1/gossip.proto",
            "headwater/v1/rendezvous.proto",
            "headwater/v1/sync.proto",
            "headwater/v1/store.proto",
            "headwater/v1/peers.proto",
            "headwater/v1/quorum.proto",
        ],
        ["../proto"],
    )?;
    prost_build::Config::new()
        // Deliveries share the buffer of the frame that carried them.
        .bytes(["."])
        // Longer than all others, and rarer than chunks.
        .boxed(".headwater.v1.Frame.body.evidence")
        .boxed(".headwater.v1.Frame.body.head")
        .compile_fds(descriptors)?;
    Ok(())
}
