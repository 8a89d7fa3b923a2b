//! Tests of the node as its users meet it: real processes, sockets, disks and
//! routers. One program holds them all, because each program that is linked
//! with RocksDB takes longer to build than to run.
//! `scripts/test mesh::` runs those of one file.

mod api_floods;
mod browser;
mod client;
mod clocks;
mod commands;
mod counters;
mod damage;
mod data_service;
mod deletion;
mod discover;
mod discovery;
mod disk;
mod endings;
mod exchange;
mod floods;
mod floors;
mod forks;
mod go_tools;
mod independent_verifier;
mod interop;
mod joining;
mod kill_nine;
mod lab;
mod liar;
mod live;
mod long;
mod manifests;
mod max_disk;
mod mesh;
mod nat;
mod options;
mod own_history;
mod parquet;
mod partition;
mod private_network;
mod quorum;
mod readme;
mod refusals;
mod retention;
mod rows;
mod slow_line;
mod suspend;
mod testnet;
mod two_nodes;
mod upgrade;
