//! Updates that no editor makes: each item of one client has to pass by all of another's to find its place. They hold
//! bytes, which a document does not join.

use yrs::encoding::write::Write;

/// A client's items, one behind the other.
pub fn chain(client: u32, count: u32) -> Vec<u8> {
    blocks(client, count, |at, bytes| match at.checked_sub(1) {
        None => bytes.extend([3, 1, 1, b'l', 1, 7]),
        Some(before) => {
            bytes.push(0x83);
            bytes.write_var(client);
            bytes.write_var(before);
            bytes.extend([1, 7]);
        }
    })
}

/// A client's items, all of them said to be the first: whose id is higher passes by what is there.
pub fn firsts(client: u32, count: u32) -> Vec<u8> {
    blocks(client, count, |_, bytes| bytes.extend([3, 1, 1, b'l', 1, 7]))
}

fn blocks(client: u32, count: u32, block: impl Fn(u32, &mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.write_var(count);
    bytes.write_var(client);
    bytes.push(0);
    (0..count).for_each(|at| block(at, &mut bytes));
    bytes
}

/// A client's values in a list, so many in each of its items, which a document joins.
pub fn values(client: u32, count: u32, each: u8) -> Vec<u8> {
    let content = |bytes: &mut Vec<u8>| {
        bytes.push(each);
        bytes.extend(std::iter::repeat_n(126, each.into()));
    };
    blocks(client, count, |at, bytes| match (at * u32::from(each)).checked_sub(1) {
        None => {
            bytes.extend([8, 1, 1, b'l']);
            content(bytes);
        }
        Some(before) => {
            bytes.push(0x88);
            bytes.write_var(client);
            bytes.write_var(before);
            content(bytes);
        }
    })
}

/// An update of these clients.
pub fn update(clients: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.write_var(u32::try_from(clients.len()).unwrap());
    clients.iter().for_each(|blocks| bytes.extend(blocks));
    bytes.push(0);
    bytes
}
